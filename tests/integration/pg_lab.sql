-- SPDX-License-Identifier: Apache-2.0
-- The world of pg_lab.py. Parts are divided by lines of three dashes.
CREATE ROLE bob
---
CREATE ROLE alice LOGIN
---
CREATE DATABASE otherdb
---
CREATE DATABASE fixture
---
DATABASE fixture
---
CREATE EXTENSION dblink; CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw;
CREATE EXTENSION adminpack; CREATE EXTENSION tablefunc; CREATE EXTENSION tsm_system_rows;
CREATE EXTENSION lo; CREATE EXTENSION pg_prewarm; CREATE EXTENSION xml2;
CREATE SCHEMA app;
---
-- plain tables
CREATE TABLE users (id int PRIMARY KEY, name text, secret text);
INSERT INTO users SELECT i, 'name' || i, 'secret' || i FROM generate_series(1, 5) i;
CREATE TABLE orders (id int PRIMARY KEY, uid int, qty int);
INSERT INTO orders SELECT i, i, i * 10 FROM generate_series(1, 5) i;
CREATE TABLE items (id int PRIMARY KEY, a text, b int);
INSERT INTO items SELECT i, 'item' || i, i FROM generate_series(1, 5) i;
CREATE TABLE archive (id int, name text, secret text);
CREATE TABLE log (at int, what text);
CREATE TABLE secrets (x text); INSERT INTO secrets VALUES ('hush');
CREATE TABLE "Odd Name" ("a;b" int); INSERT INTO "Odd Name" VALUES (1);
CREATE TABLE app.notes (id int PRIMARY KEY, body text); INSERT INTO app.notes VALUES (1, 'x'), (2, 'y');
CREATE TABLE docs (id int, body xml, j jsonb, v tsvector);
INSERT INTO docs VALUES (1, '<a><b>1</b></a>', '{"a": {"b": [1, 2]}}', 'x'::tsvector);
CREATE TABLE ids (id int GENERATED ALWAYS AS IDENTITY, s serial, t text, u text GENERATED ALWAYS AS (upper(t)) STORED);
CREATE SEQUENCE seq1;
CREATE INDEX items_b ON items (b);
-- tables that reach others
CREATE TABLE parent (id int PRIMARY KEY, n int); INSERT INTO parent VALUES (1, 1), (2, 2);
CREATE TABLE child (id int, pid int REFERENCES parent ON DELETE CASCADE ON UPDATE CASCADE);
INSERT INTO child VALUES (1, 1), (2, 2);
CREATE TABLE base (id int, t text); INSERT INTO base VALUES (1, 'b');
CREATE TABLE kid (extra int) INHERITS (base); INSERT INTO kid VALUES (2, 'k', 3);
CREATE TABLE parts (id int, t text) PARTITION BY RANGE (id);
CREATE TABLE part1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE part2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
INSERT INTO parts VALUES (1, 'a'), (11, 'b');
CREATE MATERIALIZED VIEW mat AS SELECT id, name FROM users;
---
-- somebody's functions
CREATE FUNCTION evil(int DEFAULT 1) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ($1, 'evil'); RETURN $1; END $$;
CREATE FUNCTION quiet(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RETURN $1; END $$;
CREATE FUNCTION deleter() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users WHERE id = 5; END $$;
CREATE FUNCTION dropper() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE items; END $$;
CREATE FUNCTION granter() RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN GRANT SELECT ON secrets TO bob; END $$;
CREATE FUNCTION reader() RETURNS SETOF secrets LANGUAGE sql AS 'SELECT * FROM secrets';
CREATE FUNCTION runner(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; END $$;
CREATE FUNCTION app.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.log VALUES (2, 'app.lower'); RETURN $1; END $$;
CREATE PROCEDURE p_del(int) LANGUAGE plpgsql AS $$ BEGIN DELETE FROM users WHERE id = $1; COMMIT; END $$;
CREATE FUNCTION tr_log() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (3, TG_OP); IF TG_OP = 'DELETE' THEN RETURN OLD; END IF; RETURN NEW; END $$;
CREATE FUNCTION ev_log() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (4, TG_TAG); END $$;
CREATE FUNCTION agg_step(int, int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (5, 'agg'); RETURN $1 + $2; END $$;
CREATE AGGREGATE evil_sum (int) (sfunc = agg_step, stype = int, initcond = '0');
---
-- code behind names
CREATE TABLE trig (id int, t text); INSERT INTO trig VALUES (1, 'x');
CREATE TRIGGER trig_log BEFORE INSERT OR UPDATE OR DELETE ON trig FOR EACH ROW EXECUTE FUNCTION tr_log();
CREATE TRIGGER trig_truncate BEFORE TRUNCATE ON trig FOR EACH STATEMENT EXECUTE FUNCTION tr_log();
CREATE TABLE ruled (id int, t text); INSERT INTO ruled VALUES (1, 'x');
CREATE RULE ruled_ins AS ON INSERT TO ruled DO ALSO INSERT INTO log VALUES (6, 'rule');
CREATE RULE ruled_del AS ON DELETE TO ruled DO INSTEAD DELETE FROM orders WHERE id = 1;
CREATE TABLE defaulted (id int, n int DEFAULT evil(7)); INSERT INTO defaulted VALUES (1, 1);
CREATE TABLE checked (id int CHECK (evil(id) > 0)); 
CREATE VIEW v_users AS SELECT id, name FROM users;
CREATE VIEW v_nested AS SELECT * FROM v_users WHERE id < 4;
CREATE VIEW v_code AS SELECT id, evil(id) AS e FROM users;
CREATE VIEW v_rule AS SELECT id FROM ids;
CREATE RULE v_rule_ins AS ON INSERT TO v_rule DO INSTEAD DELETE FROM orders WHERE id = new.id;
CREATE VIEW v_trig AS SELECT id, what FROM (SELECT at AS id, what FROM log) x LIMIT 10;
CREATE TRIGGER v_trig_ins INSTEAD OF INSERT OR DELETE ON v_trig FOR EACH ROW EXECUTE FUNCTION tr_log();
CREATE DOMAIN checked_int AS int CHECK (evil(VALUE) > 0);
CREATE TABLE domained (d checked_int);
CREATE TYPE pair AS (a int, b int);
CREATE FUNCTION pair_int(pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (8, 'cast'); RETURN 1; END $$;
CREATE CAST (pair AS int) WITH FUNCTION pair_int(pair) AS ASSIGNMENT;
CREATE FUNCTION pair_eq(pair, int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (9, 'op'); RETURN true; END $$;
CREATE OPERATOR ### (leftarg = pair, rightarg = int, function = pair_eq);
CREATE OPERATOR app.+ (leftarg = pair, rightarg = int, function = pair_eq);
CREATE OPERATOR + (leftarg = pair, rightarg = int, function = pair_eq);
CREATE FUNCTION abs(pair) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (10, 'abs'); RETURN 1; END $$;
CREATE FUNCTION total(users) RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES (11, 'total'); RETURN 1; END $$;
CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
CREATE POLICY guard ON guarded USING (evil(id) > 0);
GRANT SELECT ON guarded TO bob; GRANT ALL ON log TO bob;
---
SELECT lo_from_bytea(424242, 'large object');
---
CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
CREATE FOREIGN TABLE ft_file (a int, b text) SERVER files OPTIONS (filename '@WATCH@/in.csv', format 'csv');
CREATE FOREIGN TABLE ft_program (a text) SERVER files OPTIONS (program 'touch @WATCH@/ran; echo x');
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '@PORT@', dbname 'x');
CREATE USER MAPPING FOR postgres SERVER far OPTIONS (user 'x', password 'y');
CREATE FOREIGN TABLE ft_far (a int) SERVER far;
CREATE SERVER near FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '@SOCKET@', port '54321', dbname 'otherdb');
CREATE USER MAPPING FOR postgres SERVER near OPTIONS (user 'postgres');
CREATE PUBLICATION pub FOR TABLE app.notes
