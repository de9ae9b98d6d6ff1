-- What writers leave for the processes of a feed that reads a change table. Nothing of it needs to
-- survive a crash of the server: with it each process loses its connection, and forgets all.
CREATE SCHEMA IF NOT EXISTS @;

-- change notes what a statement has changed. Its size is looked at before any text is made of it. The
-- functions come first: by them other feeds of the database know the schema, and leave it alone.
CREATE OR REPLACE FUNCTION @.change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET timezone = 'UTC'
	SET bytea_output = 'hex' SET extra_float_digits = 3 AS $$
BEGIN
	IF pg_table_size('@.changes'::regclass) > #room THEN
		PERFORM nextval('@.missed'::regclass);
	ELSIF TG_OP = 'INSERT' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, NULL, CASE WHEN pg_column_size(n) <= #bytes THEN n END
		FROM (SELECT CASE WHEN NOT #long(new_rows) THEN ARRAY(SELECT (r.*)::text FROM new_rows r) END AS n OFFSET 0) a WHERE n IS DISTINCT FROM '{}';
	ELSIF TG_OP = 'UPDATE' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, CASE WHEN short THEN o END, CASE WHEN short THEN n END
		FROM (SELECT o, n, pg_column_size(o) + pg_column_size(n) <= #bytes AS short
			FROM (SELECT CASE WHEN few THEN ARRAY(SELECT (r.*)::text FROM old_rows r) END AS o, CASE WHEN few THEN ARRAY(SELECT (r.*)::text FROM new_rows r) END AS n
				FROM (SELECT NOT #long(old_rows) AND NOT #long(new_rows) AS few OFFSET 0) a OFFSET 0) b
			WHERE o IS DISTINCT FROM '{}' OR n IS DISTINCT FROM '{}') c;
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, CASE WHEN pg_column_size(o) <= #bytes THEN o END, NULL
		FROM (SELECT CASE WHEN NOT #long(old_rows) THEN ARRAY(SELECT (r.*)::text FROM old_rows r) END AS o OFFSET 0) a WHERE o IS DISTINCT FROM '{}';
	ELSE
		INSERT INTO @.changes VALUES (pg_current_xact_id(), TG_RELID, TG_OP, NULL, NULL);
	END IF;
	RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION @.change() FROM PUBLIC;

-- watch makes the triggers of a table that are missing. They fire in sessions that replicate, too,
-- which those that were disabled and enabled again do not. They are known by their function: the
-- feeds of several schemas have triggers on one table. Where a foreign table is below it, the server
-- takes no INSERT with such triggers.
CREATE OR REPLACE FUNCTION @.watch(t regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	event text;
	kind int;
	images text;
	name text;
	fires "char";
BEGIN
	IF EXISTS (WITH RECURSIVE below AS (SELECT t::oid AS oid UNION SELECT inhrelid FROM pg_inherits i JOIN below b ON i.inhparent = b.oid)
		SELECT FROM pg_class c JOIN below b ON b.oid = c.oid WHERE c.relkind = 'f') THEN
		RAISE EXCEPTION '% is a foreign table or has one below it: what is written to it cannot be told', t;
	END IF;
	FOR event, kind, images IN VALUES ('insert', 4, 'NEW TABLE AS new_rows'), ('update', 16, 'OLD TABLE AS old_rows NEW TABLE AS new_rows'),
		('delete', 8, 'OLD TABLE AS old_rows'), ('truncate', 32, NULL) LOOP
		SELECT tgname, tgenabled INTO name, fires FROM pg_trigger WHERE tgrelid = t AND tgfoid = '@.change'::regproc AND tgtype = kind;
		IF NOT FOUND THEN
			name := 'preload_' || event || '_' || (SELECT nspname FROM pg_namespace WHERE oid = '@'::regnamespace);
			EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s()', name, event, t, 'REFERENCING ' || images, '@.change');
			fires := 'O';
		END IF;
		IF fires = 'O' THEN
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t, name);
		END IF;
	END LOOP;
END $$;

-- A row stands for a statement: the rows of a table before and after it, as texts of their type; NULL
-- where these would be many or long. The rows of what is visible by now, and was not when somebody
-- looked last, are those of a few transactions, which the index finds whatever else there is.
CREATE UNLOGGED TABLE IF NOT EXISTS @.changes (xid xid8 NOT NULL, relation oid NOT NULL, operation text NOT NULL, old text[], new text[]);
CREATE INDEX IF NOT EXISTS changes_xid ON @.changes (xid);

-- What a snapshot shows that is in "gone" was deleted, and what one shows that is in "going" may be.
CREATE UNLOGGED TABLE IF NOT EXISTS @.horizon (one boolean PRIMARY KEY CHECK (one), gone pg_snapshot NOT NULL, going pg_snapshot NOT NULL);

-- How many statements are not in the table, because it was full. A sequence is counted up at once,
-- not by the commit.
CREATE SEQUENCE IF NOT EXISTS @.missed;
