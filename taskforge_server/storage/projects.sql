-- Projects, to which everything else belongs.

-- name: add_project :one
insert into taskforge.project (name) values (%(name)s) returning id;
