
# Its own way in: a new secret-id of its own role, and the end of one whose value it knows. It can neither choose a value, nor look
# for those of other keepers on the role, nor end one of those.
path "auth/approle/role/counterseal-keeper/secret-id" {
  capabilities       = ["update"]
  allowed_parameters = { "metadata" = [] }
}
path "auth/approle/role/counterseal-keeper/secret-id/lookup"  { capabilities = ["update"] }
path "auth/approle/role/counterseal-keeper/secret-id/destroy" { capabilities = ["update"] }
