// The official TypeScript SDK's client, which is given one address and nothing else. It prints the address to open; whoever
// runs it writes back where the browser was sent. It connects twice: the second time it has to refresh its token.
import { createInterface } from "node:readline";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [server, redirectUrl] = process.argv.slice(2);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const say = (kind, value) => console.log(JSON.stringify({ kind, value }));
const kept = {};
const provider = {
  redirectUrl,
  clientMetadata: { client_name: "TypeScript agent", redirect_uris: [redirectUrl], grant_types: ["authorization_code", "refresh_token"] },
  state: () => "the-state-of-this-run",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => { kept.client = client; },
  tokens: () => kept.tokens,
  saveTokens: (tokens) => { kept.tokens = tokens; },
  saveCodeVerifier: (verifier) => { kept.verifier = verifier; },
  codeVerifier: () => kept.verifier,
  redirectToAuthorization: (url) => say("open", url.href),
};

async function connect() {
  const transport = new StreamableHTTPClientTransport(new URL(server), { authProvider: provider });
  const client = new Client({ name: "test", version: "1" });
  try {
    await client.connect(transport);
  } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const sentTo = new URL((await answers.next()).value);
    await transport.finishAuth(sentTo.searchParams.get("code"));
    return connect();
  }
  const name = client.getServerVersion().name;
  await client.close();
  return name;
}

say("connected", await connect());
const before = kept.tokens;
kept.tokens = { ...before, access_token: `csa_${"a".repeat(43)}` };
say("connected", await connect());
say("refreshed", before.refresh_token !== kept.tokens.refresh_token);
process.exit(0);
