# What replacing the unseal key may do at the vault, and nothing more: have it make itself another root key, which nobody sees. It can
# read no secret.

path "sys/rotate/root" { capabilities = ["update", "sudo"] }
