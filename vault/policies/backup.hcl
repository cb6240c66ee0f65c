# What `counterseal backup` may do at the vault, and nothing more: take a snapshot of the whole of it, which is encrypted by the
# vault's own keys. It can read no secret, and put nothing back.

path "sys/storage/raft/snapshot" { capabilities = ["read"] }
