-- The tables of version 1. The names are looked up in the store's schema, which is the only one in the search path.

CREATE TABLE meta (
	one     boolean     PRIMARY KEY DEFAULT true CHECK (one), -- there is one row
	version integer     NOT NULL,
	id      text        NOT NULL,
	created timestamptz NOT NULL,
	period  interval    NOT NULL CHECK (period > interval '0') -- what a bucket holds: the records that expire in it
);

-- A record's first token is the next of these, times 2^20; who takes it over has one more. So tokens never come again,
-- whatever was forgotten.
CREATE SEQUENCE tokens;

-- The stores that are open. A record's owner is alive if its row is here, and the lease has not run out.
CREATE TABLE owners (
	id      bigint      PRIMARY KEY,
	name    text        NOT NULL, -- for people: host, process, when it was opened
	seen    timestamptz NOT NULL, -- when it last said that it is there
	missing timestamptz           -- since when its lock has been seen free
);

-- Bucket b holds what expires after (b-1) and until b periods after 1970. It is kept in slot 1 + b mod 12, if that
-- is the slot's bucket now, else in slot 0.
CREATE TABLE slots (
	slot   smallint PRIMARY KEY CHECK (slot BETWEEN 1 AND 12),
	bucket bigint   NOT NULL UNIQUE
);

CREATE TABLE records (
	k           bigint      NOT NULL, -- the first 8 bytes of the key
	token       bigint      NOT NULL,
	owner       bigint      NOT NULL,
	lease       timestamptz,          -- null in every state but 1
	created     timestamptz NOT NULL,
	updated     timestamptz NOT NULL,
	expires     timestamptz NOT NULL,
	keep        timestamptz NOT NULL, -- when the slot may be emptied: neither expires nor lease is later
	attempts    integer     NOT NULL,
	size        integer     NOT NULL DEFAULT 0,
	slot        smallint    NOT NULL,
	state       smallint    NOT NULL, -- 1 in progress, 2 interrupted, 3 completed, 4 failed, 5 parked, 6 tombstone
	first       boolean     NOT NULL,
	retained    boolean     NOT NULL DEFAULT false,
	key         bytea       NOT NULL,
	fingerprint bytea       NOT NULL,
	method      text        NOT NULL,
	call_id     text        NOT NULL,
	digest      bytea,
	payload     bytea
) PARTITION BY LIST (slot);

DO $$
BEGIN
	FOR slot IN 0..12 LOOP
		EXECUTE format('CREATE TABLE records_%s PARTITION OF records FOR VALUES IN (%s) WITH (fillfactor = 50)', slot, slot);
		EXECUTE format('CREATE INDEX records_%s_k ON records_%s (k)', slot, slot);
	END LOOP;
END
$$;

-- What expires in slot 0 is found by it, as nothing else forgets it.
CREATE INDEX records_0_expires ON records_0 (expires);

-- Tombstones of calls that never came, by store.Key.Tombstone.
CREATE TABLE tombstones (
	key         bytea       PRIMARY KEY,
	fingerprint bytea       NOT NULL, -- its proof alone
	method      text        NOT NULL,
	call_id     text        NOT NULL,
	created     timestamptz NOT NULL,
	expires     timestamptz NOT NULL
);
CREATE INDEX tombstones_expires ON tombstones (expires);
