-- What the processes of a strict feed share: the run that goes on, who its members are, and which
-- writes are pending, of each group of processes. Each function is one atomic step: it locks the run
-- first, and so sees all of the steps before it. A crash empties unlogged tables, and a promoted
-- standby has them empty: then the run is another one.
--
-- A snapshot that somebody holds in this database (a dump, a report) keeps each row that is deleted
-- or updated meanwhile, and all of its index entries. So nothing that each write or each renewal
-- changes is read from its beginning: the newest beat of a member is the last one of an index, and
-- the writes that are pending are those from an era on before which there are none. An era is what
-- the counters have come to; all members count together. What is known of such a table does not tell
-- how much of it is dead: so each way to look for rows has one index that it can take, and no other.
CREATE SCHEMA IF NOT EXISTS @;
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_group (
	grp text PRIMARY KEY, run text NOT NULL, server timestamptz NOT NULL, ready boolean NOT NULL, seats bigint NOT NULL, since bigint NOT NULL);
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_seat (
	grp text, number bigint, process text NOT NULL, PRIMARY KEY (grp, number));
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_beat (
	grp text, number bigint, counter bigint, since bigint NOT NULL, PRIMARY KEY (grp, number, counter));
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_write (
	key text PRIMARY KEY, grp text NOT NULL, era bigint NOT NULL, announcement bytea NOT NULL);
CREATE INDEX IF NOT EXISTS strict_write_era ON @.strict_write (grp, era);

-- strict_lock waits until no other step is under way, and says whether a run goes on: one of an
-- earlier start of the server does not.
CREATE OR REPLACE FUNCTION @.strict_lock(g text, r text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM @.strict_group WHERE grp = g AND run = r AND server = pg_postmaster_start_time() FOR UPDATE;
	RETURN FOUND;
END $$;

-- strict_newest is the last beat of a seat.
CREATE OR REPLACE FUNCTION @.strict_newest(g text, n bigint, OUT counter bigint, OUT since bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT b.counter, b.since INTO counter, since FROM @.strict_beat b WHERE b.grp = g AND b.number = n ORDER BY b.counter DESC LIMIT 1;
END $$;

-- strict_told is the state, the era, and the least one of which a write may be pending: the latest
-- least one that is known, as what is announced is of the era. Without whole, pending is NULL.
CREATE OR REPLACE FUNCTION @.strict_told(g text, whole boolean,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[], OUT era bigint, OUT start bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT s.run, s.ready, s.since INTO run, ready, start FROM @.strict_group s WHERE grp = g;
	SELECT coalesce(array_agg(s.number || ' ' || s.process ORDER BY s.number), '{}'), coalesce(array_agg(coalesce(b.counter, 0) ORDER BY s.number), '{}'),
			greatest(max(b.counter), start), greatest(max(b.since), start)
		INTO places, counters, era, start
		FROM @.strict_seat s LEFT JOIN LATERAL (
			SELECT t.counter, t.since FROM @.strict_beat t WHERE t.grp = g AND t.number = s.number ORDER BY t.counter DESC LIMIT 1) b ON true
		WHERE s.grp = g;
	IF whole THEN
		SELECT coalesce(array_agg(announcement), '{}') INTO pending FROM @.strict_write w WHERE w.grp = g AND w.era >= start;
	END IF;
END $$;

-- strict_go_on begins another era by a beat of a seat. The number of the transaction keeps the era
-- from coming again: nobody may be left who knows it.
CREATE OR REPLACE FUNCTION @.strict_go_on(g text, n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	now bigint;
	first bigint;
BEGIN
	SELECT greatest(era + 1, txid_current()), start INTO now, first FROM @.strict_told(g, false);
	SELECT coalesce(min(era), now) INTO first FROM @.strict_write WHERE grp = g AND era >= first;
	UPDATE @.strict_beat SET counter = now, since = first
		WHERE grp = g AND number = n AND counter = (SELECT counter FROM @.strict_newest(g, n));
	IF NOT FOUND THEN
		INSERT INTO @.strict_beat VALUES (g, n, now, first);
	END IF;
END $$;

-- strict_unseat forgets the beats of a seat, and keeps what was known by them.
CREATE OR REPLACE FUNCTION @.strict_unseat(g text, n bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	last bigint;
	known bigint;
BEGIN
	SELECT counter, since INTO last, known FROM @.strict_newest(g, n);
	DELETE FROM @.strict_beat WHERE grp = g AND number = n AND counter = last;
	UPDATE @.strict_group SET since = greatest(since, known) WHERE grp = g;
END $$;

CREATE OR REPLACE FUNCTION @.strict_gone(g text, n bigint, p text, channel text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM @.strict_seat WHERE grp = g AND number = n AND process = p;
	IF FOUND THEN
		PERFORM @.strict_unseat(g, n);
		PERFORM pg_notify(channel, 'G' || run || ' ' || n || ' ' || p) FROM @.strict_group WHERE grp = g;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_join(g text, p text, left_run text, left_number bigint, fresh text, channel text,
	OUT number bigint, OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
	n bigint;
	first bigint;
BEGIN
	INSERT INTO @.strict_group AS s VALUES (g, fresh, pg_postmaster_start_time(), false, 0, 0) ON CONFLICT (grp) DO UPDATE
		SET run = EXCLUDED.run, server = EXCLUDED.server, ready = false, seats = 0 WHERE s.server <> EXCLUDED.server;
	IF FOUND THEN
		SELECT start INTO first FROM @.strict_told(g, false);
		DELETE FROM @.strict_write WHERE grp = g AND era >= first;
		FOR n IN DELETE FROM @.strict_seat s WHERE grp = g RETURNING s.number LOOP
			PERFORM @.strict_unseat(g, n);
		END LOOP;
	ELSE
		PERFORM FROM @.strict_group s WHERE grp = g FOR UPDATE;
		PERFORM @.strict_gone(g, left_number, p, channel) FROM @.strict_group s WHERE grp = g AND s.run = left_run;
	END IF;
	UPDATE @.strict_group SET seats = seats + 1 WHERE grp = g RETURNING seats INTO STRICT number;
	INSERT INTO @.strict_seat VALUES (g, number, p);
	PERFORM @.strict_go_on(g, number);
	SELECT t.run, t.ready, t.places, t.counters, t.pending INTO run, ready, places, counters, pending FROM @.strict_told(g, true) t;
END $$;

CREATE OR REPLACE FUNCTION @.strict_renew(g text, r text, n bigint, p text,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
	IF @.strict_lock(g, r) THEN
		PERFORM FROM @.strict_seat WHERE grp = g AND number = n AND process = p;
		IF FOUND THEN
			PERFORM @.strict_go_on(g, n);
			SELECT t.run, t.ready, t.places, t.counters, t.pending INTO run, ready, places, counters, pending FROM @.strict_told(g, true) t;
		END IF;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_announce(g text, r text, write text, a bytea, channel text, notice text,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
	now bigint;
BEGIN
	IF @.strict_lock(g, r) THEN
		SELECT t.run, t.ready, t.places, t.counters, t.era INTO run, ready, places, counters, now FROM @.strict_told(g, false) t;
		INSERT INTO @.strict_write VALUES (write || ' ' || g, g, now, a) ON CONFLICT (key) DO NOTHING;
		PERFORM pg_notify(channel, notice);
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_finish(g text, r text, write text, channel text, notice text) RETURNS boolean LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
	IF NOT @.strict_lock(g, r) THEN
		RETURN false;
	END IF;
	DELETE FROM @.strict_write WHERE key = write || ' ' || g;
	PERFORM pg_notify(channel, notice);
	RETURN true;
END $$;

-- strict_fence has the counter of a member that has moved, and -1 if there is no such member now.
CREATE OR REPLACE FUNCTION @.strict_fence(g text, r text, n bigint, p text, c bigint, channel text) RETURNS bigint LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
	now bigint;
BEGIN
	IF NOT @.strict_lock(g, r) THEN
		RETURN NULL;
	END IF;
	SELECT b.counter INTO now FROM @.strict_seat s, @.strict_newest(g, n) b WHERE s.grp = g AND s.number = n AND s.process = p;
	IF FOUND AND now <> c THEN
		RETURN now;
	END IF;
	PERFORM @.strict_gone(g, n, p, channel);
	RETURN -1;
END $$;

CREATE OR REPLACE FUNCTION @.strict_ready(g text, r text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF NOT @.strict_lock(g, r) THEN
		RETURN false;
	END IF;
	UPDATE @.strict_group SET ready = true WHERE grp = g;
	RETURN true;
END $$;

CREATE OR REPLACE FUNCTION @.strict_leave(g text, r text, n bigint, p text, channel text) RETURNS void LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
BEGIN
	IF @.strict_lock(g, r) THEN
		PERFORM @.strict_gone(g, n, p, channel);
	END IF;
END $$;

-- Whoever has called a function of before meanwhile has it end in tables of before, or in a run that
-- is over: from here on the run is another one, as if the server had been started anew. Who might use
-- the tables of before may use these.
UPDATE @.strict_group SET server = '-infinity';
DO $$
DECLARE
	who text;
BEGIN
	IF to_regclass($q$@.strict_run$q$) IS NOT NULL THEN
		DELETE FROM @.strict_run;
		FOR who IN SELECT DISTINCT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END FROM pg_class, aclexplode(relacl) WHERE oid = to_regclass($q$@.strict_run$q$) LOOP
			EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON @.strict_group, @.strict_seat, @.strict_beat, @.strict_write TO ' || who;
		END LOOP;
	END IF;
END $$;
