# SPDX-License-Identifier: MIT
"""An ExpressionEngine-shaped site: the assets folder, and a database in the style of EE's."""

import os
import random

import pictures

WORDS = ("harbour morning editor column election garden rain council bridge archive summer railway "
         "river market theatre review novel island winter recipe football parliament museum gallery "
         "light evening concert library question letter travel mountain village history").split()

# EE's own tables and what is in them. Column kinds: see SQL_TYPES and value().
TABLES = {
    "exp_sites": (1, "site_id:id site_label:str site_name:str site_color:str"),
    "exp_channels": (6, "channel_id:id site_id:one channel_name:key channel_title:str "
                        "total_entries:int channel_url:str deft_status:str search_excerpt:int"),
    "exp_channel_titles": (6000, "entry_id:id site_id:one channel_id:ref6 author_id:ref400 "
                                 "title:str url_title:key status:status entry_date:ts edit_date:ts "
                                 "view_count_one:int comment_total:int sticky:yn"),
    "exp_channel_data": (6000, "entry_id:id site_id:one channel_id:ref6 field_id_1:text "
                               "field_id_2:text field_id_3:html field_ft_1:str"),
    "exp_channel_fields": (24, "field_id:id site_id:one field_name:key field_label:str "
                               "field_type:str field_settings:text field_required:yn"),
    "exp_channel_field_groups_fields": (40, "field_id:id group_id:ref6"),
    "exp_field_groups": (6, "group_id:id site_id:one group_name:str"),
    "exp_fieldtypes": (18, "fieldtype_id:id name:key version:str settings:text has_global:yn"),
    "exp_channel_grid_field_7": (3000, "row_id:id entry_id:ref6000 row_order:int col_id_1:str "
                                       "col_id_2:text"),
    "exp_grid_columns": (8, "col_id:id field_id:ref24 col_name:key col_type:str col_settings:text"),
    "exp_relationships": (4000, "relationship_id:id parent_id:ref6000 child_id:ref6000 "
                                "field_id:ref24 rel_order:int"),
    "exp_statuses": (5, "status_id:id status:key status_order:int highlight:str"),
    "exp_categories": (120, "cat_id:id site_id:one group_id:ref6 parent_id:int cat_name:str "
                            "cat_url_title:key cat_description:text cat_order:int"),
    "exp_category_groups": (6, "group_id:id site_id:one group_name:str sort_order:str"),
    "exp_category_posts": (9000, "post_id:id entry_id:ref6000 cat_id:ref120"),
    "exp_members": (400, "member_id:id role_id:ref6 username:key screen_name:str password:str "
                         "email:str join_date:ts last_visit:ts total_entries:int"),
    "exp_member_data": (400, "member_id:id m_field_id_1:text"),
    "exp_member_fields": (4, "m_field_id:id m_field_name:key m_field_label:str"),
    "exp_members_roles": (500, "row_id:id member_id:ref400 role_id:ref6"),
    "exp_roles": (6, "role_id:id name:str short_name:key description:text is_locked:yn"),
    "exp_permissions": (90, "permission_id:id role_id:ref6 site_id:one permission:key"),
    "exp_comments": (5000, "comment_id:id site_id:one entry_id:ref6000 author_id:ref400 name:str "
                           "email:str comment:text comment_date:ts status:status"),
    "exp_comment_subscriptions": (800, "subscription_id:id entry_id:ref6000 email:str "
                                       "notification_sent:yn hash:blob"),
    "exp_files": (700, "file_id:id site_id:one title:str file_name:key mime_type:str file_size:int "
                       "upload_date:ts credit:str"),
    "exp_file_dimensions": (6, "id:id site_id:one short_name:key width:int height:int"),
    "exp_upload_prefs": (4, "id:id site_id:one name:str server_path:str url:str"),
    "exp_template_groups": (8, "group_id:id site_id:one group_name:key is_site_default:yn"),
    "exp_templates": (60, "template_id:id site_id:one group_id:ref8 template_name:key "
                          "template_type:str template_data:html edit_date:ts hits:int"),
    "exp_snippets": (20, "snippet_id:id site_id:one snippet_name:key snippet_contents:html"),
    "exp_global_variables": (20, "variable_id:id site_id:one variable_name:key variable_data:text"),
    "exp_entry_versioning": (1500, "version_id:id entry_id:ref6000 channel_id:ref6 author_id:ref400 "
                                   "version_date:ts version_data:html"),
    "exp_cp_log": (2500, "id:id site_id:one member_id:ref400 username:str ip_address:str "
                         "act_date:ts action:str"),
    "exp_html_buttons": (9, "id:id site_id:one tag_name:key tag_open:str tag_close:str"),
    "exp_actions": (30, "action_id:id class:str method:key csrf_exempt:int"),
    "exp_modules": (12, "module_id:id module_name:key module_version:str has_cp_backend:yn"),
    "exp_stats": (1, "stat_id:id site_id:one total_members:int total_entries:int "
                     "last_entry_date:ts"),
    "exp_sessions": (150, "session_id:id member_id:ref400 ip_address:str user_agent:str "
                          "last_activity:ts fingerprint:blob"),
    "exp_security_hashes": (200, "hash_id:id date:ts session_id:int hash:blob"),
}

SQL_TYPES = {
    "id": "int(10) unsigned NOT NULL AUTO_INCREMENT", "one": "int(4) unsigned NOT NULL DEFAULT 1",
    "int": "int(10) unsigned NOT NULL DEFAULT 0", "ts": "int(10) NOT NULL DEFAULT 0",
    "str": "varchar(200) DEFAULT NULL", "key": "varchar(75) NOT NULL", "text": "text DEFAULT NULL",
    "html": "mediumtext DEFAULT NULL", "yn": "char(1) NOT NULL DEFAULT 'n'",
    "status": "varchar(50) NOT NULL DEFAULT 'open'", "blob": "varbinary(40) DEFAULT NULL",
}


def sentence(rng, n):
    return " ".join(rng.choice(WORDS) for _ in range(n)).capitalize()


def text(rng, n):
    """What articles hold that parsers stumble over: quotes, backslashes, statement ends, UTF-8."""
    parts = [sentence(rng, 9) for _ in range(n)]
    parts.append(rng.choice(["It's “quoted”; -- no comment", "C:\\path\\n; DROP", "naïve café – 50 % 日本",
                             "a\nnew line;\nand /* more */", "emoji \U0001F600", ""]))
    return ". ".join(parts)


def quote(value):
    for plain, escaped in (("\\", "\\\\"), ("'", "\\'"), ("\n", "\\n"), ("\r", "\\r"), ("\0", "\\0")):
        value = value.replace(plain, escaped)
    return "'" + value + "'"


def value(rng, kind, row):
    if kind == "id":
        return str(row)
    if kind == "one":
        return "1"
    if kind == "int":
        return str(rng.randrange(100_000))
    if kind == "ts":
        return str(rng.randrange(1_300_000_000, 1_750_000_000))
    if kind.startswith("ref"):
        return str(rng.randrange(1, int(kind[3:]) + 1))
    if kind == "yn":
        return "'%s'" % rng.choice("yn")
    if kind == "status":
        return "'%s'" % rng.choice(["open", "closed", "featured"])
    if kind == "blob":
        return "0x%040x" % rng.getrandbits(160)
    if kind == "key":
        return quote("%s_%d" % (rng.choice(WORDS), row))
    if rng.random() < 0.05:
        return "NULL"
    if kind == "str":
        return quote(sentence(rng, 4))
    if kind == "html":
        return quote("<p>%s</p>\n{exp:channel:entries}" % text(rng, 4))
    return quote(text(rng, 3))


def database_sql(seed=7):
    """(SQL text, number of tables, number of rows)."""
    rng = random.Random(seed)
    out, total = ["SET NAMES utf8mb4;\n"], 0
    for table, (rows, columns) in TABLES.items():
        columns = [c.split(":") for c in columns.split()]
        lines = ["  `%s` %s" % (name, SQL_TYPES.get(kind, SQL_TYPES["int"])) for name, kind in columns]
        lines.append("  PRIMARY KEY (`%s`)" % columns[0][0])
        lines += ["  KEY `%s` (`%s`)" % (name, name) for name, kind in columns
                  if kind == "key" or kind.startswith("ref")]
        out.append("CREATE TABLE `%s` (\n%s\n) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 "
                   "COLLATE=utf8mb4_unicode_ci;\n" % (table, ",\n".join(lines)))
        for first in range(1, rows + 1, 500):
            batch = ",\n".join("(%s)" % ",".join(value(rng, kind, row) for _, kind in columns)
                               for row in range(first, min(first + 500, rows + 1)))
            out.append("INSERT INTO `%s` VALUES\n%s;\n" % (table, batch))
        total += rows
    return "".join(out), len(TABLES), total


def put(top, path, data):
    path = os.path.join(top, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def make_assets(top, mirrors, seed=7):
    """Fills the folder; returns the number of files."""
    rng = random.Random(seed)
    for group in ("site", "news", "blog", "archive", "search", "members", "feeds", "static"):
        for name in ("index.html", "entry.html", "list.html", "category.html", "_sidebar.html",
                     "rss.feed" if group == "feeds" else "print.html"):
            put(top, "templates/default_site/%s.group/%s" % (group, name),
                "{embed=\"site/_header\"}\n{exp:channel:entries channel=\"%s\" limit=\"10\"}\n"
                "<article><h2>{title}</h2><p>%s</p></article>\n{/exp:channel:entries}\n"
                % (group, text(rng, 8)))
    for name in ("header", "footer", "menu", "teaser", "social"):
        put(top, "templates/_global_partials/%s.html" % name, "<!-- %s -->\n<nav>%s</nav>\n"
            % (name, text(rng, 2)))
        put(top, "templates/default_site/_variables/%s.html" % name, sentence(rng, 3))
    for name in ("main", "print", "editor"):
        put(top, "css/%s.css" % name, "".join(".%s-%d{margin:%dpx}\n" % (w, i, i)
                                              for i, w in enumerate(WORDS)))
        put(top, "scripts/%s.js" % name, "".join("function %s%d(){return %d}\n" % (w, i, i)
                                                 for i, w in enumerate(WORDS)))
    for i in range(4):
        put(top, "img/header-%d.png" % i, pictures.png(pictures.scene(240, 80, i)))
        put(top, "uploads/images/photo-%d.jpg" % i, pictures.jpeg(pictures.scene(160, 120, i)))
        put(top, "uploads/images/_thumbs/photo-%d.jpg" % i, pictures.jpeg(pictures.scene(40, 32, i)))
    put(top, "uploads/images/index.html", "")
    put(top, "uploads/files/program.pdf", b"%PDF-1.4\n" + rng.randbytes(120_000) + b"\n%%EOF\n")
    for name in mirrors:
        os.makedirs(os.path.join(top, "sql", name))
    return sum(len(names) for _, _, names in os.walk(top))
