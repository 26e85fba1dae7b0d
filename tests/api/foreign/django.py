"""A bakery as Django makes it: content types, permissions, sessions; deferred keys, checks, CHAR(32) or native UUIDs."""

SQLITE = """
CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
CREATE TABLE "django_content_type" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app_label" varchar(100) NOT NULL, "model" varchar(100) NOT NULL);
CREATE UNIQUE INDEX "django_content_type_app_label_model_76bd3d3b_uniq" ON "django_content_type" ("app_label", "model");
CREATE TABLE "auth_permission" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "content_type_id" integer NOT NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, "codename" varchar(100) NOT NULL, "name" varchar(255) NOT NULL);
CREATE UNIQUE INDEX "auth_permission_content_type_id_codename_01ab375a_uniq" ON "auth_permission" ("content_type_id", "codename");
CREATE INDEX "auth_permission_content_type_id_2f476e4b" ON "auth_permission" ("content_type_id");
CREATE TABLE "auth_group" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(150) NOT NULL UNIQUE);
CREATE TABLE "auth_group_permissions" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "group_id" integer NOT NULL REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED, "permission_id" integer NOT NULL REFERENCES "auth_permission" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX "auth_group_permissions_group_id_permission_id_0cd325b0_uniq" ON "auth_group_permissions" ("group_id", "permission_id");
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "password" varchar(128) NOT NULL, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "email" varchar(254) NOT NULL, "date_joined" datetime NOT NULL);
CREATE TABLE "auth_user_groups" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "group_id" integer NOT NULL REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "django_session" ("session_key" varchar(40) NOT NULL PRIMARY KEY, "session_data" text NOT NULL, "expire_date" datetime NOT NULL);
CREATE INDEX "django_session_expire_date_a5c62663" ON "django_session" ("expire_date");
CREATE TABLE "django_admin_log" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "object_id" text NULL, "object_repr" varchar(200) NOT NULL, "action_flag" smallint unsigned NOT NULL CHECK ("action_flag" >= 0), "change_message" text NOT NULL, "content_type_id" integer NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "action_time" datetime NOT NULL);
CREATE TABLE "bakery_recipe" ("id" char(32) NOT NULL PRIMARY KEY, "title" varchar(80) NOT NULL, "slug" varchar(50) NOT NULL UNIQUE, "price" decimal NOT NULL, "rating" real NULL, "vegan" bool NOT NULL, "meta" text NOT NULL CHECK ((JSON_VALID("meta") OR "meta" IS NULL)), "photo" BLOB NULL, "baked_on" date NULL, "opens_at" time NULL, "resting" bigint NOT NULL, "stock" integer unsigned NOT NULL CHECK ("stock" >= 0), "author_id" integer NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "parent_id" char(32) NULL REFERENCES "bakery_recipe" ("id") DEFERRABLE INITIALLY DEFERRED, CONSTRAINT "price_not_negative" CHECK ("price" >= 0));
CREATE UNIQUE INDEX "one_vegan_of_a_title" ON "bakery_recipe" ("title") WHERE "vegan";
CREATE INDEX "bakery_recipe_lower_idx" ON "bakery_recipe" ((LOWER("title")));
CREATE INDEX "bakery_recipe_newest_idx" ON "bakery_recipe" ("baked_on" DESC);
CREATE TABLE "bakery_ingredient" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(60) NOT NULL, "origin" char(39) NULL);
CREATE TABLE "bakery_recipe_ingredients" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "recipe_id" char(32) NOT NULL REFERENCES "bakery_recipe" ("id") DEFERRABLE INITIALLY DEFERRED, "ingredient_id" bigint NOT NULL REFERENCES "bakery_ingredient" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX "bakery_recipe_ingredients_recipe_id_ingredient_id_uniq" ON "bakery_recipe_ingredients" ("recipe_id", "ingredient_id");
CREATE TABLE "bakery_order" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "placed" datetime NOT NULL, "net" decimal NOT NULL, "gross" decimal GENERATED ALWAYS AS ("net" * 2) STORED, "buyer_id" integer NOT NULL UNIQUE REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED);
INSERT INTO django_migrations (app, name, applied) VALUES ('auth', '0001_initial', '2026-01-02 03:04:05.123456'), ('bakery', '0001_initial', '2026-01-02 03:04:05'), ('bakery', '0002_more', '2026-01-03 00:00:00.500000');
INSERT INTO auth_user (password, last_login, is_superuser, username, email, date_joined) VALUES ('pbkdf2$1', NULL, 1, 'ann', 'ann@example.org', '2026-01-01 10:00:00'), ('!', '2026-02-01 08:30:00.000001', 0, 'bob', '', '2026-01-02 10:00:00.250000'), ('!', NULL, 0, 'cäcilie', 'c@example.org', '2026-01-03 10:00:00');
INSERT INTO django_session VALUES ('abc0', 'e30:x', '2026-03-01 00:00:00'), ('abc1', 'e30:y', '2026-03-01 00:00:00.100000'), ('abc2', '', '2026-03-02 00:00:00');
INSERT INTO bakery_recipe VALUES ('3f4c4ca7a7e740d68d838f4ddf3285e6', 'Rye', 'rye', 4.5, 4.25, 1, '{"crumb": [1, 2.50]}', x'00ff', '2026-01-02', '07:30:00', 3600000000, 3, 1, NULL), ('00000000000000000000000000000001', 'Wheat', 'wheat', 3, NULL, 0, '[]', NULL, NULL, NULL, 0, 0, NULL, '3f4c4ca7a7e740d68d838f4ddf3285e6'), ('00000000000000000000000000000002', 'Spelt', 'spelt', 3.25, 0.1, 0, '"plain"', x'', '2026-01-02', '07:30:00.500000', 1, 7, 2, NULL);
INSERT INTO bakery_order (placed, net, buyer_id) VALUES ('2026-01-02 03:04:05.123456', 10.5, 1), ('2026-01-02 03:04:05', 0, 2);
"""

POSTGRES = """
CREATE TABLE "django_migrations" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" timestamp with time zone NOT NULL);
CREATE TABLE "django_content_type" ("id" integer NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "app_label" varchar(100) NOT NULL, "model" varchar(100) NOT NULL);
ALTER TABLE "django_content_type" ADD CONSTRAINT "django_content_type_app_label_model_76bd3d3b_uniq" UNIQUE ("app_label", "model");
CREATE TABLE "auth_permission" ("id" integer NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "name" varchar(255) NOT NULL, "content_type_id" integer NOT NULL, "codename" varchar(100) NOT NULL);
ALTER TABLE "auth_permission" ADD CONSTRAINT "auth_permission_content_type_id_codename_01ab375a_uniq" UNIQUE ("content_type_id", "codename");
ALTER TABLE "auth_permission" ADD CONSTRAINT "auth_permission_content_type_id_2f476e4b_fk_django_co" FOREIGN KEY ("content_type_id") REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED;
CREATE INDEX "auth_permission_content_type_id_2f476e4b" ON "auth_permission" ("content_type_id");
CREATE TABLE "auth_group" ("id" integer NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "name" varchar(150) NOT NULL UNIQUE);
CREATE INDEX "auth_group_name_a6ea08ec_like" ON "auth_group" ("name" varchar_pattern_ops);
CREATE TABLE "auth_group_permissions" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "group_id" integer NOT NULL REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED, "permission_id" integer NOT NULL REFERENCES "auth_permission" ("id") DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE "auth_group_permissions" ADD CONSTRAINT "auth_group_permissions_group_id_permission_id_0cd325b0_uniq" UNIQUE ("group_id", "permission_id");
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "password" varchar(128) NOT NULL, "last_login" timestamp with time zone NULL, "is_superuser" boolean NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "email" varchar(254) NOT NULL, "date_joined" timestamp with time zone NOT NULL);
CREATE INDEX "auth_user_username_6821ab7c_like" ON "auth_user" ("username" varchar_pattern_ops);
CREATE TABLE "auth_user_groups" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "user_id" integer NOT NULL, "group_id" integer NOT NULL);
ALTER TABLE "auth_user_groups" ADD CONSTRAINT "auth_user_groups_user_id_6a12ed8b_fk_auth_user_id" FOREIGN KEY ("user_id") REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE "auth_user_groups" ADD CONSTRAINT "auth_user_groups_group_id_97559544_fk_auth_group_id" FOREIGN KEY ("group_id") REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED;
CREATE TABLE "django_session" ("session_key" varchar(40) NOT NULL PRIMARY KEY, "session_data" text NOT NULL, "expire_date" timestamp with time zone NOT NULL);
CREATE INDEX "django_session_session_key_c0390e0f_like" ON "django_session" ("session_key" varchar_pattern_ops);
CREATE INDEX "django_session_expire_date_a5c62663" ON "django_session" ("expire_date");
CREATE TABLE "django_admin_log" ("id" integer NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "action_time" timestamp with time zone NOT NULL, "object_id" text NULL, "object_repr" varchar(200) NOT NULL, "action_flag" smallint NOT NULL CHECK ("action_flag" >= 0), "change_message" text NOT NULL, "content_type_id" integer NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "bakery_recipe" ("id" uuid NOT NULL PRIMARY KEY, "title" varchar(80) NOT NULL, "slug" varchar(50) NOT NULL UNIQUE, "price" numeric(8, 2) NOT NULL, "rating" double precision NULL, "vegan" boolean NOT NULL, "meta" jsonb NOT NULL, "photo" bytea NULL, "baked_on" date NULL, "opens_at" time NULL, "resting" interval NOT NULL, "stock" integer NOT NULL CHECK ("stock" >= 0), "tags" varchar(20)[] NOT NULL, "author_id" integer NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "parent_id" uuid NULL REFERENCES "bakery_recipe" ("id") DEFERRABLE INITIALLY DEFERRED, CONSTRAINT "price_not_negative" CHECK ("price" >= 0));
CREATE UNIQUE INDEX "one_vegan_of_a_title" ON "bakery_recipe" ("title") WHERE "vegan";
CREATE INDEX "bakery_recipe_lower_idx" ON "bakery_recipe" ((LOWER("title")));
CREATE INDEX "bakery_recipe_newest_idx" ON "bakery_recipe" ("baked_on" DESC);
CREATE INDEX "bakery_recipe_cover_idx" ON "bakery_recipe" ("stock") INCLUDE ("price");
CREATE TABLE "bakery_ingredient" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "name" varchar(60) NOT NULL, "origin" inet NULL);
CREATE TABLE "bakery_recipe_ingredients" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "recipe_id" uuid NOT NULL REFERENCES "bakery_recipe" ("id") DEFERRABLE INITIALLY DEFERRED, "ingredient_id" bigint NOT NULL REFERENCES "bakery_ingredient" ("id") DEFERRABLE INITIALLY DEFERRED);
ALTER TABLE "bakery_recipe_ingredients" ADD CONSTRAINT "bakery_recipe_ingredients_recipe_id_ingredient_id_uniq" UNIQUE ("recipe_id", "ingredient_id");
CREATE TABLE "bakery_order" ("id" bigint NOT NULL PRIMARY KEY GENERATED BY DEFAULT AS IDENTITY, "placed" timestamp with time zone DEFAULT STATEMENT_TIMESTAMP() NOT NULL, "net" numeric(8, 2) NOT NULL, "gross" numeric(8, 2) GENERATED ALWAYS AS ("net" * 2) STORED, "buyer_id" integer NOT NULL UNIQUE REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED);
INSERT INTO django_migrations (app, name, applied) VALUES ('auth', '0001_initial', '2026-01-02 03:04:05.123456+00'), ('bakery', '0001_initial', '2026-01-02 03:04:05+00'), ('bakery', '0002_more', '2026-01-03 00:00:00.5+00');
INSERT INTO auth_user (password, last_login, is_superuser, username, email, date_joined) VALUES ('pbkdf2$1', NULL, true, 'ann', 'ann@example.org', '2026-01-01 10:00:00+00'), ('!', '2026-02-01 08:30:00.000001+00', false, 'bob', '', '2026-01-02 10:00:00.25+00'), ('!', NULL, false, 'cäcilie', 'c@example.org', '2026-01-03 10:00:00+00');
INSERT INTO django_session VALUES ('abc0', 'e30:x', '2026-03-01 00:00:00+00'), ('abc1', 'e30:y', '2026-03-01 00:00:00.1+00'), ('abc2', '', '2026-03-02 00:00:00+00');
INSERT INTO bakery_recipe VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 'Rye', 'rye', 4.5, 4.25, true, '{"crumb": [1, 2.50]}', '\\x00ff', '2026-01-02', '07:30', '1 hour', 3, '{a,"b c"}', 1, NULL), ('00000000-0000-0000-0000-000000000001', 'Wheat', 'wheat', 3, NULL, false, '[]', NULL, NULL, NULL, '0', 0, '{}', NULL, '3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6'), ('00000000-0000-0000-0000-000000000002', 'Spelt', 'spelt', 3.25, 0.1, false, '"plain"', '', '2026-01-02', '07:30:00.5', '3 days 00:00:01', 7, '{a,NULL}', 2, NULL);
INSERT INTO bakery_order (placed, net, buyer_id) VALUES ('2026-01-02 03:04:05.123456+00', 10.5, 1), ('2026-01-02 03:04:05+00', 0, 2);
"""

BOTH = """
INSERT INTO django_content_type (app_label, model) VALUES ('auth', 'user'), ('bakery', 'recipe'), ('bakery', 'order');
INSERT INTO auth_permission (content_type_id, codename, name) VALUES (1, 'add_user', 'Can add user'), (2, 'add_recipe', 'Can add recipe'), (2, 'view_recipe', 'Can view recipe');
INSERT INTO auth_group (name) VALUES ('bakers'), ('sellers'), ('owners');
INSERT INTO auth_group_permissions (group_id, permission_id) VALUES (1, 2), (1, 3), (2, 3);
INSERT INTO auth_user_groups (user_id, group_id) VALUES (1, 1), (1, 2), (2, 2);
INSERT INTO bakery_ingredient (name, origin) VALUES ('flour', NULL), ('salt', '10.0.0.1'), ('water', '::1');
"""
SQLITE += BOTH + """
INSERT INTO django_admin_log (object_id, object_repr, action_flag, change_message, content_type_id, user_id, action_time) VALUES ('1', 'Rye', 1, '[{"added": {}}]', 2, 1, '2026-01-02 03:04:05.5'), (NULL, '', 3, '', NULL, 2, '2026-01-02 03:04:06');
INSERT INTO bakery_recipe_ingredients (recipe_id, ingredient_id) VALUES ('3f4c4ca7a7e740d68d838f4ddf3285e6', 1), ('3f4c4ca7a7e740d68d838f4ddf3285e6', 2), ('00000000000000000000000000000001', 1);
"""
POSTGRES += BOTH + """
INSERT INTO django_admin_log (object_id, object_repr, action_flag, change_message, content_type_id, user_id, action_time) VALUES ('1', 'Rye', 1, '[{"added": {}}]', 2, 1, '2026-01-02 03:04:05.5+00'), (NULL, '', 3, '', NULL, 2, '2026-01-02 03:04:06+00');
INSERT INTO bakery_recipe_ingredients (recipe_id, ingredient_id) VALUES ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 1), ('3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285e6', 2), ('00000000-0000-0000-0000-000000000001', 1);
"""

NEW = {
    "django_migrations": {"app": "bakery", "name": "0003", "applied": "2026-05-05T05:05:05.5Z"},
    "django_content_type": {"app_label": "x", "model": "y"},
    "auth_permission": {"content_type_id": 3, "codename": "c", "name": "n"},
    "auth_group": {"name": "new"},
    "auth_group_permissions": {"group_id": 3, "permission_id": 1},
    "auth_user": {"password": "!", "is_superuser": False, "username": "dora", "email": "", "date_joined": "2026-05-05T05:05:05Z"},
    "auth_user_groups": {"user_id": 3, "group_id": 3},
    "django_session": {"session_key": "new", "session_data": "", "expire_date": "2026-05-05T05:05:05Z"},
    "django_admin_log": {"object_repr": "x", "action_flag": 2, "change_message": "", "user_id": 1, "action_time": "2026-05-05T05:05:05Z"},
    "bakery_recipe": {"id": "3f4c4ca7-a7e7-40d6-8d83-8f4ddf3285ff", "title": "Corn", "slug": "corn", "price": "2.50", "vegan": True,
                      "meta": {"a": None}, "resting": 5, "stock": 1, "author_id": 3},
    "bakery_ingredient": {"name": "yeast"},
    "bakery_recipe_ingredients": {"recipe_id": "00000000-0000-0000-0000-000000000002", "ingredient_id": 3},
    "bakery_order": {"placed": "2026-05-05T05:05:05Z", "net": "7.25", "buyer_id": 3},
}
NEW_POSTGRES = {"bakery_recipe": {"resting": "PT2H", "tags": ["x"]}}
