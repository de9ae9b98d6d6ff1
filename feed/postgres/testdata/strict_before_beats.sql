-- What the processes of a strict feed share: the run that goes on, who its members are, and which
-- writes are pending, of each group of processes. Each function is one atomic step: it locks the run
-- first, and so sees all of the steps before it. A crash empties unlogged tables, and a promoted
-- standby has them empty: then the run is another one.
CREATE SCHEMA IF NOT EXISTS @;
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_run (
	grp text PRIMARY KEY, run text NOT NULL, server timestamptz NOT NULL, ready boolean NOT NULL, seats bigint NOT NULL);
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_member (
	grp text, number bigint, process text NOT NULL, counter bigint NOT NULL, PRIMARY KEY (grp, number));
CREATE UNLOGGED TABLE IF NOT EXISTS @.strict_pending (
	grp text, id text, announcement bytea NOT NULL, PRIMARY KEY (grp, id));

-- strict_lock waits until no other step is under way, and says whether a run goes on: one of an
-- earlier start of the server does not.
CREATE OR REPLACE FUNCTION @.strict_lock(g text, r text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM @.strict_run WHERE grp = g AND run = r AND server = pg_postmaster_start_time() FOR UPDATE;
	RETURN FOUND;
END $$;

CREATE OR REPLACE FUNCTION @.strict_state(g text, whole boolean,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql AS $$
BEGIN
	SELECT s.run, s.ready INTO run, ready FROM @.strict_run s WHERE grp = g;
	SELECT coalesce(array_agg(number || ' ' || process ORDER BY number), '{}'), coalesce(array_agg(counter ORDER BY number), '{}')
		INTO places, counters FROM @.strict_member WHERE grp = g;
	IF whole THEN
		SELECT coalesce(array_agg(announcement), '{}') INTO pending FROM @.strict_pending WHERE grp = g;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_gone(g text, n bigint, p text, channel text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	place text;
BEGIN
	DELETE FROM @.strict_member WHERE grp = g AND number = n AND process = p RETURNING number || ' ' || process INTO place;
	IF FOUND THEN
		PERFORM pg_notify(channel, 'G' || run || ' ' || place) FROM @.strict_run WHERE grp = g;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_join(g text, p text, left_run text, left_number bigint, fresh text, channel text,
	OUT number bigint, OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO @.strict_run AS s VALUES (g, fresh, pg_postmaster_start_time(), false, 0) ON CONFLICT (grp) DO UPDATE
		SET run = EXCLUDED.run, server = EXCLUDED.server, ready = false, seats = 0 WHERE s.server <> EXCLUDED.server;
	IF FOUND THEN
		DELETE FROM @.strict_member WHERE grp = g;
		DELETE FROM @.strict_pending WHERE grp = g;
	ELSE
		PERFORM FROM @.strict_run s WHERE grp = g FOR UPDATE;
		PERFORM @.strict_gone(g, left_number, p, channel) FROM @.strict_run s WHERE grp = g AND s.run = left_run;
	END IF;
	UPDATE @.strict_run SET seats = seats + 1 WHERE grp = g RETURNING seats INTO STRICT number;
	INSERT INTO @.strict_member VALUES (g, number, p, 0);
	SELECT * INTO run, ready, places, counters, pending FROM @.strict_state(g, true);
END $$;

CREATE OR REPLACE FUNCTION @.strict_renew(g text, r text, n bigint, p text,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql AS $$
BEGIN
	IF @.strict_lock(g, r) THEN
		UPDATE @.strict_member SET counter = counter + 1 WHERE grp = g AND number = n AND process = p;
		IF FOUND THEN
			SELECT * INTO run, ready, places, counters, pending FROM @.strict_state(g, true);
		END IF;
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_announce(g text, r text, write text, a bytea, channel text, notice text,
	OUT run text, OUT ready boolean, OUT places text[], OUT counters bigint[], OUT pending bytea[]) LANGUAGE plpgsql AS $$
BEGIN
	IF @.strict_lock(g, r) THEN
		INSERT INTO @.strict_pending VALUES (g, write, a) ON CONFLICT (grp, id) DO NOTHING;
		PERFORM pg_notify(channel, notice);
		SELECT * INTO run, ready, places, counters, pending FROM @.strict_state(g, false);
	END IF;
END $$;

CREATE OR REPLACE FUNCTION @.strict_finish(g text, r text, write text, channel text, notice text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
	IF NOT @.strict_lock(g, r) THEN
		RETURN false;
	END IF;
	DELETE FROM @.strict_pending WHERE grp = g AND id = write;
	PERFORM pg_notify(channel, notice);
	RETURN true;
END $$;

-- strict_fence has the counter of a member that has moved, and -1 if there is no such member now.
CREATE OR REPLACE FUNCTION @.strict_fence(g text, r text, n bigint, p text, c bigint, channel text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	now bigint;
BEGIN
	IF NOT @.strict_lock(g, r) THEN
		RETURN NULL;
	END IF;
	SELECT counter INTO now FROM @.strict_member WHERE grp = g AND number = n AND process = p;
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
	UPDATE @.strict_run SET ready = true WHERE grp = g;
	RETURN true;
END $$;

CREATE OR REPLACE FUNCTION @.strict_leave(g text, r text, n bigint, p text, channel text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF @.strict_lock(g, r) THEN
		PERFORM @.strict_gone(g, n, p, channel);
	END IF;
END $$;
