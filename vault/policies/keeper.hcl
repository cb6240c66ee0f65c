# What the keeper may do, and nothing more. It can neither mount, nor read a private key, nor write a policy.

path "counterseal-kv/data/connections/*" { capabilities = ["create", "read", "update"] }
path "counterseal-kv/data/providers/*"   { capabilities = ["create", "read", "update"] }
path "counterseal-kv/data/idps/*"        { capabilities = ["create", "read", "update"] }
path "counterseal-kv/data/people/*"      { capabilities = ["create", "read", "update"] }
path "counterseal-kv/data/log/head"      { capabilities = ["create", "read", "update"] }

# Made once and never changed: keys, the instance's mark, and what was spent.
path "counterseal-kv/data/app/*"      { capabilities = ["create", "read"] }
path "counterseal-kv/data/keeper/*"   { capabilities = ["create", "read"] }
path "counterseal-kv/data/instance/*" { capabilities = ["create", "read"] }
path "counterseal-kv/data/spent/*"    { capabilities = ["create", "read"] }

# Said once, at the first start: writes are check-and-set, and nothing keeps what was replaced.
path "counterseal-kv/config" {
  capabilities       = ["create", "read", "update"]
  allowed_parameters = { "cas_required" = ["true"], "max_versions" = ["1"] }
}

# Shredding a connection's tokens for good; the names of those there are.
path "counterseal-kv/metadata/connections/*" { capabilities = ["read", "delete"] }
path "counterseal-kv/metadata/people/*"      { capabilities = ["read"] }
path "counterseal-kv/metadata/providers/*"   { capabilities = ["read"] }
path "counterseal-kv/metadata/idps/*"        { capabilities = ["read"] }
path "counterseal-kv/metadata/providers"     { capabilities = ["list"] }
path "counterseal-kv/metadata/idps"          { capabilities = ["list"] }
path "counterseal-kv/metadata/connections"   { capabilities = ["list"] }

path "counterseal-transit/datakey/plaintext/payload" { capabilities = ["update"] }
path "counterseal-transit/decrypt/payload"           { capabilities = ["update"] }
path "counterseal-transit/sign/authority"            { capabilities = ["update"] }
path "counterseal-transit/sign/audit"                { capabilities = ["update"] }
path "counterseal-transit/keys/payload"              { capabilities = ["read"] }
path "counterseal-transit/keys/authority"            { capabilities = ["read"] }
path "counterseal-transit/keys/audit"                { capabilities = ["read"] }

# Rotation: new versions, what older ones wrapped moved to the newest, and then those no longer opened.
path "counterseal-transit/keys/payload/rotate"   { capabilities = ["update"] }
path "counterseal-transit/keys/authority/rotate" { capabilities = ["update"] }
path "counterseal-transit/keys/audit/rotate"     { capabilities = ["update"] }
path "counterseal-transit/rewrap/payload"        { capabilities = ["update"] }
path "counterseal-transit/keys/payload/config" {
  capabilities       = ["update"]
  allowed_parameters = { "min_decryption_version" = [] }
}

# Client certificates: sign a key under the one role, and take a certificate back. It names neither times nor names of other kinds.
path "counterseal-pki/sign/client" {
  capabilities       = ["update"]
  allowed_parameters = { "csr" = [], "uri_sans" = ["spiffe://*"], "ttl" = [] }
}
path "counterseal-pki/revoke"       { capabilities = ["update"] }
path "counterseal-pki/roles/client" { capabilities = ["read"] }

# The next authority for them: made beside the one before, under its own name, with a key that never leaves the vault. The keeper
# can neither take one away, nor change one, nor say which is the default.
path "counterseal-pki/root/rotate/internal" {
  capabilities       = ["update"]
  allowed_parameters = {
    "common_name"     = ["Counterseal client authority *"]
    "issuer_name"     = ["client-authority-*"]
    "ttl"             = ["87600h"]
    "key_type"        = ["ec"]
    "key_bits"        = ["256"]
    "max_path_length" = ["0"]
  }
}
path "counterseal-pki/issuers"       { capabilities = ["list"] }
path "counterseal-pki/issuer/+/json" { capabilities = ["read"] }
path "counterseal-pki/issuer/+/sign/client" {
  capabilities       = ["update"]
  allowed_parameters = { "csr" = [], "uri_sans" = ["spiffe://*"], "ttl" = [] }
}

# Its own token, which comes without the default policy.
path "auth/token/renew-self"  { capabilities = ["update"] }
path "auth/token/lookup-self" { capabilities = ["read"] }

# What it may do itself, for `counterseal vault doctor`: of a path, and all of it.
path "sys/capabilities-self"         { capabilities = ["update"] }
path "sys/internal/ui/resultant-acl" { capabilities = ["read"] }
