// A real OpenID Connect and OAuth provider for the tests: PKCE required, refresh tokens rotate, revocation, introspection.
// It signs in whom `login_hint` names (by name or address, else "alice") and agrees for them at once; `login_hint=nobody` declines.
// With the option `page`, whoever is asked to sign in afresh presses a button of its own for that.
import fs from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { once } from 'node:events';
import { Provider, errors } from 'oidc-provider';

const options = JSON.parse(process.env.OIDC_OPTIONS ?? '{}');
const secure = options.tls ? { key: fs.readFileSync(options.tls.key), cert: fs.readFileSync(options.tls.certificate) } : null;
const server = (secure ? https.createServer(secure) : http.createServer()).listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `${secure ? 'https' : 'http'}://127.0.0.1:${server.address().port}`;
const people = options.people ?? {};

// It tells of logouts on loopback here, where it would not go by itself, and waits for a machine that does other things too. Where
// `at` is the port of an app, it is the one that the address names.
function tell(url, { method, headers, body }) {
  const to = new URL(url), told = { ...Object.fromEntries(new Headers(headers)), host: to.host };
  return new Promise((resolve, reject) => {
    const asked = http.request({ host: '127.0.0.1', port: options.at ?? to.port, path: to.pathname, method, headers: told }, (answer) => {
      answer.resume();
      resolve(new Response(null, { status: answer.statusCode }));
    });
    asked.on('error', reject).end(String(body));
  });
}

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'counterseal',
    client_secret: 'a-secret-that-only-the-keeper-holds',
    redirect_uris: options.redirect_uris,
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'client_secret_basic',
    id_token_signed_response_alg: options.alg ?? 'RS256',
    ...(options.backchannel ? { backchannel_logout_uri: options.backchannel, backchannel_logout_session_required: true } : {}),
  }],
  scopes: ['openid', 'offline_access', 'profile', 'email', ...(options.scopes ?? [])],
  claims: { openid: ['sub', 'groups'], profile: ['name'], email: ['email'] },
  conformIdTokenClaims: true,
  acrValues: ['urn:example:strong'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  ttl: { AccessToken: options.access_lifetime ?? 600, RefreshToken: 86400, Grant: 86400, Session: 86400, Interaction: 600, IdToken: 300 },
  findAccount: async (_ctx, sub) => ({
    accountId: sub,
    claims: async () => ({ sub, name: `${sub} of the tests`, email: `${sub}@example.test`, groups: [], ...people[sub] }),
  }),
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: Boolean(options.backchannel) },
    introspection: { enabled: true },
    revocation: { enabled: true },
    userinfo: { enabled: true },
    rpInitiatedLogout: { enabled: Boolean(options.backchannel) },
  },
  ...(options.backchannel ? { fetch: tell } : {}),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  cookies: { keys: ['only for tests'] },
  renderError: async (ctx, out) => { ctx.type = 'json'; ctx.body = out; },
});

async function interact(request, response) {
  const details = await provider.interactionDetails(request, response);
  const { prompt, params } = details;
  const who = (params.login_hint ?? 'alice').split('@')[0];
  if (who === 'nobody') {
    return provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'they said no' });
  }
  if (options.page && prompt.name === 'login' && params.prompt?.includes('login') && request.method === 'GET') {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(`<!doctype html><html lang="en"><title>Provider</title><form method="post"><button>Sign in as ${who}</button></form>`);
    return undefined;
  }
  if (prompt.name === 'login') {
    return provider.interactionFinished(request, response, { login: { accountId: who, acr: options.acr } });
  }
  const grant = details.grantId
    ? await provider.Grant.find(details.grantId)
    : new provider.Grant({ accountId: details.session.accountId, clientId: params.client_id });
  const asked = (params.scope ?? '').split(' ').filter((scope) => !(options.withheld ?? []).includes(scope));
  grant.addOIDCScope(asked.join(' '));
  grant.addOIDCClaims(prompt.details.missingOIDCClaims ?? []);
  if (asked.length < params.scope.split(' ').length) {
    grant.rejectOIDCScope((options.withheld ?? []).join(' '));
  }
  return provider.interactionFinished(request, response, { consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: true });
}

// Somebody signed out here: told to the client as an end of the session would.
async function logOut(url, response) {
  const asked = new URL(url, issuer).searchParams;
  const client = await provider.Client.find('counterseal');
  await client.backchannelLogout(asked.get('sub'), asked.get('sid'));
  response.end('told');
}

const handle = provider.callback();
server.on('request', (request, response) => {
  if (options.backchannel && request.url.startsWith('/logged-out?')) {
    return logOut(request.url, response).catch((error) => { response.statusCode = 500; response.end(String(error)); });
  }
  if (!request.url.startsWith('/interaction/')) return handle(request, response);
  return interact(request, response).catch((error) => {
    response.statusCode = error instanceof errors.OIDCProviderError ? error.statusCode : 500;
    response.end(String(error.message));
  });
});
provider.on('server_error', (_ctx, error) => console.error(error));
console.log(`ready ${issuer}`);
process.stdin.resume();
process.stdin.on('end', () => process.exit(0));
