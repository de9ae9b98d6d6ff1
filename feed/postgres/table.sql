-- What writers leave for the processes of a feed that reads a change table. Nothing of it needs to
-- survive a crash of the server: with it each process loses its connection, and forgets all.
CREATE SCHEMA IF NOT EXISTS @;

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

CREATE OR REPLACE FUNCTION @.change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO' SET intervalstyle = 'postgres' SET timezone = 'UTC'
	SET bytea_output = 'hex' SET extra_float_digits = 3 AS $$
BEGIN
	IF pg_table_size('@.changes'::regclass) > #room THEN
		PERFORM nextval('@.missed'::regclass);
	ELSIF TG_OP = 'INSERT' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, NULL, CASE WHEN cardinality(n) <= #rows AND pg_column_size(n) <= #bytes THEN n END
		FROM (SELECT ARRAY(SELECT (r.*)::text FROM (SELECT * FROM new_rows LIMIT #rows + 1) r) AS n) a WHERE n <> '{}';
	ELSIF TG_OP = 'UPDATE' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, CASE WHEN few THEN o END, CASE WHEN few THEN n END
		FROM (SELECT o, n, cardinality(n) <= #rows AND pg_column_size(o) + pg_column_size(n) <= #bytes AS few
			FROM (SELECT ARRAY(SELECT (r.*)::text FROM (SELECT * FROM old_rows LIMIT #rows + 1) r) AS o,
				ARRAY(SELECT (r.*)::text FROM (SELECT * FROM new_rows LIMIT #rows + 1) r) AS n OFFSET 0) a WHERE n <> '{}') b;
	ELSIF TG_OP = 'DELETE' THEN
		INSERT INTO @.changes SELECT pg_current_xact_id(), TG_RELID, TG_OP, CASE WHEN cardinality(o) <= #rows AND pg_column_size(o) <= #bytes THEN o END, NULL
		FROM (SELECT ARRAY(SELECT (r.*)::text FROM (SELECT * FROM old_rows LIMIT #rows + 1) r) AS o) a WHERE o <> '{}';
	ELSE
		INSERT INTO @.changes VALUES (pg_current_xact_id(), TG_RELID, TG_OP, NULL, NULL);
	END IF;
	RETURN NULL;
END $$;
REVOKE EXECUTE ON FUNCTION @.change() FROM PUBLIC;

-- watch makes the triggers of a table that are missing. They fire in sessions that replicate, too.
CREATE OR REPLACE FUNCTION @.watch(t regclass) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	event text;
	images text;
BEGIN
	FOR event, images IN VALUES ('insert', 'NEW TABLE AS new_rows'), ('update', 'OLD TABLE AS old_rows NEW TABLE AS new_rows'),
		('delete', 'OLD TABLE AS old_rows'), ('truncate', NULL) LOOP
		IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t AND tgname = 'preload_' || event) THEN
			EXECUTE format('CREATE TRIGGER preload_%s AFTER %1$s ON %s %s FOR EACH STATEMENT EXECUTE FUNCTION %s()', event, t, 'REFERENCING ' || images, '@.change');
			EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER preload_%s', t, event);
		END IF;
	END LOOP;
END $$;
