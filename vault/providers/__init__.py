"""What is publicly known about each provider: endpoints, scopes in plain words, how its tokens live and die."""
