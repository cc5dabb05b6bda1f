-- The tables of version 1. Migrate makes the schema the search path, and sets warren.id and warren.period.

CREATE TABLE meta (
	one     boolean     PRIMARY KEY DEFAULT true CHECK (one), -- there is one row
	version integer     NOT NULL,
	id      text        NOT NULL,
	created timestamptz NOT NULL,
	period  interval    NOT NULL CHECK (period > interval '0') -- what a slot holds: the records that expire in it
);
COMMENT ON TABLE meta IS 'which store this is';

-- A record's first token is the next of these, times 2^20; who takes it over has one more. So tokens never come again,
-- whatever was forgotten.
CREATE SEQUENCE tokens;

-- A record's owner is alive if its row is here, and the lease has not run out. An owner of an id below 0 has no row: its
-- leases alone tell.
CREATE TABLE owners (
	id     bigint      PRIMARY KEY, -- the advisory lock that the owner holds, too
	name   text        NOT NULL,    -- for people: host and process
	opened timestamptz NOT NULL     -- its session, which may not be the first
);
COMMENT ON TABLE owners IS 'the stores that are open';

-- A record lies in the slot that ends first of those that do not end before it may be forgotten. A slot that has ended
-- is emptied by one TRUNCATE, and is given the next end. Slot 0 never ends: it takes what no other does, and is swept
-- row by row.
CREATE TABLE slots (
	slot smallint    PRIMARY KEY CHECK (slot BETWEEN 0 AND 12),
	ends timestamptz NOT NULL UNIQUE
) WITH (fillfactor = 50);
COMMENT ON TABLE slots IS 'when a partition of records may be emptied';

INSERT INTO slots VALUES (0, 'infinity');
INSERT INTO slots
SELECT n, to_timestamp((ceil(extract(epoch FROM clock_timestamp()) / p) + n - 1) * p)
FROM generate_series(1, 12) AS n, extract(epoch FROM current_setting('warren.period')::interval) AS p;

-- The wide columns come first, so that nothing is lost to alignment.
CREATE TABLE records (
	k           bigint      NOT NULL, -- the first 8 bytes of the key
	token       bigint      NOT NULL,
	owner       bigint      NOT NULL,
	lease       timestamptz,          -- null in every state but 1
	created     timestamptz NOT NULL,
	updated     timestamptz NOT NULL,
	expires     timestamptz NOT NULL,
	keep        timestamptz NOT NULL, -- the end of the slot: neither expires nor lease is later
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
COMMENT ON TABLE records IS 'what is known of each call';

-- A part of each page is left free, so that the one update of a call finds room beside the row, and no index changes. What
-- is emptied in days needs neither freezing nor a visibility map, so inserts alone call for no vacuum. Payloads are not
-- compressed: that would cost the database's processors, and they are kept for a day.
DO $$
BEGIN
	FOR slot IN 0..12 LOOP
		EXECUTE format('CREATE TABLE records_%s PARTITION OF records FOR VALUES IN (%s)
			WITH (fillfactor = 30, autovacuum_vacuum_insert_threshold = -1)', slot, slot);
		EXECUTE format('ALTER TABLE records_%s ALTER COLUMN payload SET STORAGE EXTERNAL', slot);
		EXECUTE format('CREATE INDEX records_%s_k ON records_%s (k)', slot, slot);
	END LOOP;
END
$$;
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
COMMENT ON TABLE tombstones IS 'calls that never came, and will not run if they do';
CREATE INDEX tombstones_expires ON tombstones (expires);

INSERT INTO meta (version, id, created, period)
VALUES (0, current_setting('warren.id'), clock_timestamp(), current_setting('warren.period')::interval);
