// npm `oidc-provider` with `client_credentials`, all in memory: its token endpoint alone.
import http from 'node:http';
import { once } from 'node:events';
import { Provider } from 'oidc-provider';

const server = http.createServer().listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;
const provider = new Provider(issuer, {
  clients: [{
    client_id: 'bench', client_secret: 'a-secret-of-the-bench', redirect_uris: [], response_types: [],
    grant_types: ['client_credentials'], token_endpoint_auth_method: 'client_secret_basic',
  }],
  scopes: ['openid', 'accounts:read'],
  features: { clientCredentials: { enabled: true }, devInteractions: { enabled: false } },
  cookies: { keys: ['only for the bench'] },
});
server.on('request', provider.callback());
server.keepAliveTimeout = 75_000;
console.log(server.address().port);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
