-- Leadership is a lease row, won by comparing and setting with the database's clock. It spares work and proves nothing:
-- whatever must not happen twice is guarded where it is written.

-- name: elect :one
-- Takes the lease when it is free, or over; the term grows with each holder. No row: somebody else leads. Locks the one row.
insert into taskforge.leader as l (name, holder, term, expires_at)
values (%(name)s, %(holder)s, 1, clock_timestamp() + make_interval(secs => %(lease_seconds)s))
on conflict (name) do update
    set holder = excluded.holder, term = l.term + 1, expires_at = excluded.expires_at
    where l.expires_at < clock_timestamp()
returning term;

-- name: renew :one
-- Only within the same term: a lease that was lost is never renewed, even when nobody took it.
update taskforge.leader set expires_at = clock_timestamp() + make_interval(secs => %(lease_seconds)s)
where name = %(name)s and holder = %(holder)s and term = %(term)s and expires_at > clock_timestamp()
returning term;

-- name: resign :one
update taskforge.leader set expires_at = clock_timestamp() - interval '1 second'
where name = %(name)s and holder = %(holder)s and term = %(term)s and expires_at > clock_timestamp()
returning term;

-- name: current :one
select holder, term, expires_at > clock_timestamp() as held from taskforge.leader where name = %(name)s;
