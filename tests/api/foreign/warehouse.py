"""Thirty years of a warehouse: composite natural keys that go on and on, CHAR columns, codes, odd names, rules as triggers."""

_TABLES = """
CREATE TABLE <q>COMPANY<q> (co_cd char(2) NOT NULL, co_name varchar(40) NOT NULL, PRIMARY KEY (co_cd));
CREATE TABLE plant (co_cd char(2) NOT NULL, plt_no smallint NOT NULL, plt_name varchar(40), open_dt date, PRIMARY KEY (co_cd, plt_no), FOREIGN KEY (co_cd) REFERENCES <q>COMPANY<q> (co_cd) ON UPDATE CASCADE);
CREATE TABLE bin (plt_no smallint NOT NULL, co_cd char(2) NOT NULL, aisle char(3) NOT NULL, lvl smallint NOT NULL, max_wt numeric(9,3), PRIMARY KEY (co_cd, plt_no, aisle, lvl), CONSTRAINT bin_plant FOREIGN KEY (co_cd, plt_no) REFERENCES plant (co_cd, plt_no) ON UPDATE CASCADE ON DELETE CASCADE);
CREATE TABLE item (item_cd varchar(15) NOT NULL, descr varchar(60) NOT NULL, uom char(2) DEFAULT 'EA' NOT NULL CHECK (uom IN ('EA', 'KG', 'LT')), std_cost numeric(12,4) DEFAULT 0 NOT NULL, abc_cls char(1), hazmat char(1) DEFAULT 'N' NOT NULL, PRIMARY KEY (item_cd), CONSTRAINT cost_sane CHECK (std_cost >= 0 AND std_cost < 1000000));
CREATE TABLE stock (co_cd char(2) NOT NULL, plt_no smallint NOT NULL, aisle char(3) NOT NULL, lvl smallint NOT NULL, item_cd varchar(15) NOT NULL, lot_no varchar(10) NOT NULL, qty numeric(12,3) NOT NULL, upd_ts <ts>, PRIMARY KEY (co_cd, plt_no, aisle, lvl, item_cd, lot_no), CONSTRAINT stock_bin FOREIGN KEY (co_cd, plt_no, aisle, lvl) REFERENCES bin (co_cd, plt_no, aisle, lvl) ON UPDATE CASCADE, CONSTRAINT stock_item FOREIGN KEY (item_cd) REFERENCES item (item_cd));
CREATE TABLE cust (co_cd char(2) NOT NULL, cust_no integer NOT NULL, name1 varchar(35) NOT NULL, credit_lim numeric(11,2), vat_id varchar(14), PRIMARY KEY (co_cd, cust_no));
CREATE UNIQUE INDEX cust_vat ON cust (vat_id) WHERE vat_id IS NOT NULL;
CREATE TABLE cust_addr (co_cd char(2) NOT NULL, cust_no integer NOT NULL, addr_ty char(1) NOT NULL, street varchar(35), PRIMARY KEY (co_cd, cust_no, addr_ty), FOREIGN KEY (co_cd, cust_no) REFERENCES cust (co_cd, cust_no));
CREATE TABLE ord_hdr (co_cd char(2) NOT NULL, ord_yr smallint NOT NULL, ord_no integer NOT NULL, cust_no integer NOT NULL, ship_to char(1) DEFAULT 'S' NOT NULL, bill_to char(1) DEFAULT 'B' NOT NULL, ord_dt date NOT NULL, ent_tm time, PRIMARY KEY (co_cd, ord_yr, ord_no), CONSTRAINT hdr_cust FOREIGN KEY (co_cd, cust_no) REFERENCES cust (co_cd, cust_no), CONSTRAINT hdr_ship FOREIGN KEY (co_cd, cust_no, ship_to) REFERENCES cust_addr (co_cd, cust_no, addr_ty), CONSTRAINT hdr_bill FOREIGN KEY (co_cd, cust_no, bill_to) REFERENCES cust_addr (co_cd, cust_no, addr_ty));
CREATE TABLE ord_line (co_cd char(2) NOT NULL, ord_yr smallint NOT NULL, ord_no integer NOT NULL, line_no smallint NOT NULL, item_cd varchar(15) NOT NULL, qty numeric(12,3) NOT NULL CHECK (qty <> 0), price numeric(12,4), ext_price numeric(16,4) GENERATED ALWAYS AS (qty * price) STORED, PRIMARY KEY (co_cd, ord_yr, ord_no, line_no), FOREIGN KEY (co_cd, ord_yr, ord_no) REFERENCES ord_hdr (co_cd, ord_yr, ord_no) ON DELETE CASCADE, FOREIGN KEY (item_cd) REFERENCES item (item_cd));
CREATE TABLE bom (parent_cd varchar(15) NOT NULL, child_cd varchar(15) NOT NULL, valid_from date NOT NULL, qty_per numeric(9,4) NOT NULL, PRIMARY KEY (parent_cd, child_cd, valid_from), FOREIGN KEY (parent_cd) REFERENCES item (item_cd), FOREIGN KEY (child_cd) REFERENCES item (item_cd));
CREATE TABLE tbl_codes (tbl char(8) NOT NULL, cd varchar(8) NOT NULL, lang char(2) NOT NULL, txt varchar(40), PRIMARY KEY (tbl, cd, lang));
CREATE TABLE gl_post (co_cd char(2) NOT NULL, fy smallint NOT NULL, per smallint NOT NULL, doc char(10) NOT NULL, itm smallint NOT NULL, acct char(10) NOT NULL, dc char(1) NOT NULL, amt numeric(15,2) NOT NULL, PRIMARY KEY (co_cd, fy, per, doc, itm), CHECK (dc IN ('D', 'C')));
CREATE INDEX gl_acct ON gl_post (acct, fy DESC, per DESC);
CREATE TABLE <q>log $ 1996<q> (<q>when#<q> <ts>, <q>who?<q> char(8), <q>what / why<q> varchar(80));
CREATE TABLE seq_ctl (seq_nm char(10) NOT NULL PRIMARY KEY, nxt integer DEFAULT 1 NOT NULL);
INSERT INTO <q>COMPANY<q> VALUES ('01', 'North'), ('02', 'South'), ('AB', 'ÄB');
INSERT INTO plant VALUES ('01', 1, 'one', '1996-01-02'), ('01', 2, NULL, NULL), ('02', 1, '', '1996-01-02');
INSERT INTO bin (co_cd, plt_no, aisle, lvl, max_wt) VALUES ('01', 1, 'A01', 1, 100.5), ('01', 1, 'A01', 2, NULL), ('01', 2, 'B 1', 0, 0.001);
INSERT INTO item VALUES ('X-1', 'nut', 'EA', 0.0125, 'A', 'N'), ('X/2', 'bolt', 'KG', 1, NULL, 'Y'), ('Y 3', 'oil', 'LT', 999.9999, 'C', 'N');
INSERT INTO stock VALUES ('01', 1, 'A01', 1, 'X-1', 'L1', 5, '2026-01-02 03:04:05'), ('01', 1, 'A01', 1, 'X-1', 'L2', -0.5, NULL), ('01', 2, 'B 1', 0, 'X/2', '', 7.125, '2026-01-02 03:04:05');
INSERT INTO cust VALUES ('01', 100, 'Ann', 1000.5, 'DE1'), ('01', 200, 'Bob', NULL, NULL), ('02', 100, 'Cäcilie', 0, NULL);
INSERT INTO cust_addr VALUES ('01', 100, 'S', 'street 1'), ('01', 100, 'B', NULL), ('01', 200, 'S', ''), ('01', 200, 'B', 'x');
INSERT INTO ord_hdr VALUES ('01', 1996, 1, 100, 'S', 'B', '1996-01-02', '08:00:00'), ('01', 1996, 2, 100, 'B', 'B', '1996-01-03', NULL), ('01', 1997, 1, 200, 'S', 'S', '1997-01-02', '08:00:00');
INSERT INTO ord_line (co_cd, ord_yr, ord_no, line_no, item_cd, qty, price) VALUES ('01', 1996, 1, 1, 'X-1', 5, 0.02), ('01', 1996, 1, 2, 'X/2', 2.5, NULL), ('01', 1996, 2, 1, 'X-1', -1, 1.25);
INSERT INTO bom VALUES ('X/2', 'X-1', '1996-01-01', 2), ('X/2', 'X-1', '1997-01-01', 2.5), ('Y 3', 'X-1', '1996-01-01', 1);
INSERT INTO tbl_codes VALUES ('UOM', 'EA', 'DE', 'Stück'), ('UOM', 'EA', 'EN', 'each'), ('UOM', 'KG', 'EN', NULL);
INSERT INTO gl_post VALUES ('01', 1996, 1, '0000000001', 1, '400000', 'D', 12.50), ('01', 1996, 1, '0000000001', 2, '100000', 'C', 12.50), ('01', 1996, 2, '0000000001', 1, '400000', 'D', -0.01);
INSERT INTO <q>log $ 1996<q> VALUES ('2026-01-02 03:04:05', 'ANN', 'x'), (NULL, NULL, NULL), ('2026-01-02 03:04:06', 'BOB', 'y; -- ''z''');
INSERT INTO seq_ctl VALUES ('ORD', 3), ('CUST', 201);
"""
SQLITE = _TABLES.replace("<q>", '"').replace("<ts>", "datetime")
POSTGRES = _TABLES.replace("<q>", '"').replace("<ts>", "timestamp")

NEW = {
    "COMPANY": {"co_cd": "ZZ", "co_name": "new"},
    "plant": {"co_cd": "02", "plt_no": 9},
    "bin": {"co_cd": "02", "plt_no": 1, "aisle": "Z /", "lvl": 1},
    "item": {"item_cd": "N/1 ?", "descr": "new"},
    "stock": {"co_cd": "01", "plt_no": 1, "aisle": "A01", "lvl": 2, "item_cd": "Y 3", "lot_no": "a,b", "qty": "1.000"},
    "cust": {"co_cd": "02", "cust_no": 200, "name1": "new"},
    "cust_addr": {"co_cd": "02", "cust_no": 100, "addr_ty": "S"},
    "ord_hdr": {"co_cd": "01", "ord_yr": 1998, "ord_no": 1, "cust_no": 100, "ord_dt": "1998-01-02"},
    "ord_line": {"co_cd": "01", "ord_yr": 1997, "ord_no": 1, "line_no": 1, "item_cd": "Y 3", "qty": "2.000", "price": "1.5000"},
    "bom": {"parent_cd": "Y 3", "child_cd": "X/2", "valid_from": "1998-01-01", "qty_per": "1.0000"},
    "tbl_codes": {"tbl": "NEW", "cd": "x,y", "lang": "EN"},
    "gl_post": {"co_cd": "02", "fy": 1996, "per": 1, "doc": "0000000002", "itm": 1, "acct": "1", "dc": "D", "amt": "1.00"},
    "log $ 1996": {"who?": "NEW"},
    "seq_ctl": {"seq_nm": "NEW"},
}
