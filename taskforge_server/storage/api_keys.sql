-- API keys. Only the hash of a secret is kept.

-- name: create_key :one
insert into taskforge.api_key (project_id, name, secret_hash, expires_at)
values (%(project)s, %(name)s, %(secret_hash)s, now() + %(lifetime)s::interval)
returning id, project_id, name, created_at, expires_at, revoked_at, last_used_at;

-- name: list_keys :many
select id, project_id, name, created_at, expires_at, revoked_at, last_used_at
from taskforge.api_key where project_id = %(project)s order by id;

-- name: revoke_key :one
update taskforge.api_key set revoked_at = coalesce(revoked_at, now())
where project_id = %(project)s and id = %(key)s returning id;

-- name: check_key :one
-- By the unique index on the hash. The use is noted at most once a minute, so that a busy key costs no write.
with found as (
    select id, project_id, last_used_at from taskforge.api_key
    where secret_hash = %(secret_hash)s and revoked_at is null and (expires_at is null or expires_at > now())),
noted as (
    update taskforge.api_key k set last_used_at = now() from found f
    where k.id = f.id and (f.last_used_at is null or f.last_used_at < now() - interval '1 minute'))
select id, project_id from found;
