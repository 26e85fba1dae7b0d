"""A weblog in the manner of WordPress: entities with attributes and values, zero dates, no foreign keys, slugs, options."""

_TABLES = """
CREATE TABLE wb_users (<q>ID<q> <pk>, user_login varchar(60) NOT NULL DEFAULT '', user_pass varchar(255) NOT NULL DEFAULT '', user_registered <ts> NOT NULL DEFAULT <zero>, user_status <int11> NOT NULL DEFAULT '0', display_name varchar(250) NOT NULL DEFAULT '');
CREATE INDEX user_login_key ON wb_users (user_login);
CREATE TABLE wb_usermeta (umeta_id <pk>, user_id <big> NOT NULL DEFAULT '0', meta_key varchar(255) DEFAULT NULL, meta_value <long>);
CREATE INDEX usermeta_key ON wb_usermeta (meta_key);
CREATE TABLE wb_posts (<q>ID<q> <pk>, post_author <big> NOT NULL DEFAULT '0', post_date <ts> NOT NULL DEFAULT <zero>, post_date_gmt <ts> NOT NULL DEFAULT <zero>, post_content <long> NOT NULL, post_title text NOT NULL, post_status varchar(20) NOT NULL DEFAULT 'publish', post_name varchar(200) NOT NULL DEFAULT '', post_parent <big> NOT NULL DEFAULT '0', menu_order <int11> NOT NULL DEFAULT '0', post_type varchar(20) NOT NULL DEFAULT 'post', comment_count bigint NOT NULL DEFAULT '0');
CREATE INDEX type_status_date ON wb_posts (post_type, post_status, post_date, <q>ID<q>);
CREATE TABLE wb_postmeta (meta_id <pk>, post_id <big> NOT NULL DEFAULT '0', meta_key varchar(255) DEFAULT NULL, meta_value <long>);
CREATE INDEX postmeta_post_id ON wb_postmeta (post_id);
CREATE TABLE wb_comments (<q>comment_ID<q> <pk>, <q>comment_post_ID<q> <big> NOT NULL DEFAULT '0', comment_author <tinytext> NOT NULL, <q>comment_author_IP<q> varchar(100) NOT NULL DEFAULT '', comment_date <ts> NOT NULL DEFAULT <zero>, comment_content text NOT NULL, comment_karma <int11> NOT NULL DEFAULT '0', comment_approved varchar(20) NOT NULL DEFAULT '1');
CREATE TABLE wb_commentmeta (meta_id <pk>, comment_id <big> NOT NULL DEFAULT '0', meta_key varchar(255) DEFAULT NULL, meta_value <long>);
CREATE TABLE wb_terms (term_id <pk>, name varchar(200) NOT NULL DEFAULT '', slug varchar(200) NOT NULL DEFAULT '', term_group bigint NOT NULL DEFAULT 0);
CREATE TABLE wb_termmeta (meta_id <pk>, term_id <big> NOT NULL DEFAULT '0', meta_key varchar(255) DEFAULT NULL, meta_value <long>);
CREATE TABLE wb_term_taxonomy (term_taxonomy_id <pk>, term_id <big> NOT NULL DEFAULT 0, taxonomy varchar(32) NOT NULL DEFAULT '', description <long> NOT NULL, parent <big> NOT NULL DEFAULT 0, count bigint NOT NULL DEFAULT 0, CONSTRAINT term_id_taxonomy UNIQUE (term_id, taxonomy));
CREATE TABLE wb_term_relationships (object_id <big> NOT NULL DEFAULT 0, term_taxonomy_id <big> NOT NULL DEFAULT 0, term_order <int11> NOT NULL DEFAULT 0, PRIMARY KEY (object_id, term_taxonomy_id));
CREATE TABLE wb_options (option_id <pk>, option_name varchar(191) NOT NULL DEFAULT '' UNIQUE, option_value <long> NOT NULL, autoload varchar(20) NOT NULL DEFAULT 'yes');
CREATE TABLE wb_links (link_id <pk>, link_url varchar(255) NOT NULL DEFAULT '', link_visible varchar(20) NOT NULL DEFAULT 'Y', link_rating <int11> NOT NULL DEFAULT '0', link_updated <ts> NOT NULL DEFAULT <zero>, link_notes <medium> NOT NULL);
CREATE TABLE wb_shop_price (product_id <big> NOT NULL, <q>min price<q> decimal(19,4) DEFAULT NULL, <q>order<q> integer, onsale <tinyint> DEFAULT <zero_flag>, PRIMARY KEY (product_id));
CREATE VIEW wb_published AS SELECT p.<q>ID<q>, p.post_title, u.display_name FROM wb_posts p JOIN wb_users u ON u.<q>ID<q> = p.post_author WHERE p.post_status = 'publish';
INSERT INTO wb_users (user_login, user_pass, user_registered, display_name) VALUES ('ann', '$P$B', '2026-01-02 03:04:05', 'Ann'), ('bob', '', '2026-01-02 03:04:06', ''), ('c', 'x', '2026-01-02 03:04:05', 'Cäcilie');
INSERT INTO wb_usermeta (user_id, meta_key, meta_value) VALUES (1, 'caps', 'a:1:{s:5:"admin";b:1;}'), (1, NULL, NULL), (2, 'level', '10');
INSERT INTO wb_posts (post_author, post_date, post_date_gmt, post_content, post_title, post_status, post_name) VALUES (1, '2026-01-02 03:04:05', '2026-01-02 02:04:05', '<p>Hello</p>', 'Hello', 'publish', 'hello'), (1, '2026-01-02 03:04:06', '2026-01-02 02:04:06', '', '', 'draft', ''), (2, '2026-01-02 03:04:05', '2026-01-02 02:04:05', 'x', 'Y', 'publish', 'y');
INSERT INTO wb_postmeta (post_id, meta_key, meta_value) VALUES (1, '_edit_lock', '1767322985:1'), (1, 'price', '12.50'), (2, 'price', NULL);
INSERT INTO wb_comments (<q>comment_post_ID<q>, comment_author, <q>comment_author_IP<q>, comment_date, comment_content) VALUES (1, 'A', '10.0.0.1', '2026-01-02 03:04:05', 'nice'), (1, '', '', '2026-01-02 03:04:06', '');
INSERT INTO wb_commentmeta (comment_id, meta_key, meta_value) VALUES (1, 'a', 'b'), (2, NULL, '');
INSERT INTO wb_terms (name, slug) VALUES ('News', 'news'), ('Ünïcode', 'unicode'), ('', '');
INSERT INTO wb_termmeta (term_id, meta_key, meta_value) VALUES (1, 'x', '1'), (2, 'x', NULL);
INSERT INTO wb_term_taxonomy (term_id, taxonomy, description) VALUES (1, 'category', ''), (1, 'tag', 'd'), (2, 'tag', '');
INSERT INTO wb_term_relationships VALUES (1, 1, 0), (1, 2, 1), (2, 1, 0);
INSERT INTO wb_options (option_name, option_value, autoload) VALUES ('siteurl', 'http://x', 'yes'), ('cron', 'a:0:{}', 'no'), ('', '', 'yes');
INSERT INTO wb_links (link_url, link_updated, link_notes) VALUES ('http://a', '2026-01-02 03:04:05', ''), ('', '2026-01-02 03:04:06', 'n');
INSERT INTO wb_shop_price VALUES (1, 12.5, 1, <one_flag>), (2, NULL, NULL, NULL), (3, 0.0001, 1, <zero_flag>);
"""


def _made(**words):
    text = _TABLES
    for word, meaning in words.items():
        text = text.replace(f"<{word}>", meaning)
    return text


SQLITE = _made(pk="INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL", q="`", ts="datetime", zero="'0000-00-00 00:00:00'", int11="int(11)", big="bigint unsigned",
               long="longtext", tinytext="tinytext", medium="mediumtext", tinyint="tinyint(1)", zero_flag="0", one_flag="1")
POSTGRES = _made(pk="bigserial PRIMARY KEY", q='"', ts="timestamp", zero="'-infinity'", int11="integer", big="bigint", long="text", tinytext="text",
                 medium="text", tinyint="boolean", zero_flag="false", one_flag="true")

NEW = {
    "wb_users": {"user_login": "dora"},
    "wb_usermeta": {"user_id": 3, "meta_key": "k"},
    "wb_posts": {"post_content": "", "post_title": "new"},
    "wb_postmeta": {"meta_value": "v"},
    "wb_comments": {"comment_author": "x", "comment_content": ""},
    "wb_commentmeta": {"comment_id": 1},
    "wb_terms": {"name": "n"},
    "wb_termmeta": {},
    "wb_term_taxonomy": {"term_id": 3, "description": ""},
    "wb_term_relationships": {"object_id": 3, "term_taxonomy_id": 3},
    "wb_options": {"option_name": "new", "option_value": ""},
    "wb_links": {"link_notes": ""},
    "wb_shop_price": {"product_id": 9, "min price": "1.2500", "order": 2},
}
