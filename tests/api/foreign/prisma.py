"""A shop as Prisma makes it: capital names, cuids, enums, @updatedAt, implicit many-to-many tables with A and B."""

SQLITE = """
CREATE TABLE "_prisma_migrations" ("id" TEXT PRIMARY KEY NOT NULL, "checksum" TEXT NOT NULL, "finished_at" DATETIME, "migration_name" TEXT NOT NULL, "logs" TEXT, "rolled_back_at" DATETIME, "started_at" DATETIME NOT NULL DEFAULT current_timestamp, "applied_steps_count" INTEGER UNSIGNED NOT NULL DEFAULT 0);
CREATE TABLE "User" ("id" TEXT NOT NULL PRIMARY KEY, "email" TEXT NOT NULL, "name" TEXT, "role" TEXT NOT NULL DEFAULT 'USER', "credits" BIGINT NOT NULL DEFAULT 0, "createdAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" DATETIME NOT NULL);
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE TABLE "Profile" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "bio" TEXT, "userId" TEXT NOT NULL, CONSTRAINT "Profile_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "Profile_userId_key" ON "Profile"("userId");
CREATE TABLE "Account" ("provider" TEXT NOT NULL, "providerAccountId" TEXT NOT NULL, "userId" TEXT NOT NULL, "expires_at" INTEGER, PRIMARY KEY ("provider", "providerAccountId"), CONSTRAINT "Account_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE TABLE "Category" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "name" TEXT NOT NULL, "parentId" INTEGER, CONSTRAINT "Category_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Category" ("id") ON DELETE SET NULL ON UPDATE CASCADE);
CREATE TABLE "Product" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "sku" TEXT NOT NULL, "price" DECIMAL NOT NULL, "weight" REAL, "active" BOOLEAN NOT NULL DEFAULT true, "image" BLOB, "attributes" JSONB, "releasedAt" DATETIME, "updatedAt" DATETIME NOT NULL);
CREATE UNIQUE INDEX "Product_sku_key" ON "Product"("sku");
CREATE TABLE "_CategoryToProduct" ("A" INTEGER NOT NULL, "B" INTEGER NOT NULL, CONSTRAINT "_CategoryToProduct_A_fkey" FOREIGN KEY ("A") REFERENCES "Category" ("id") ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT "_CategoryToProduct_B_fkey" FOREIGN KEY ("B") REFERENCES "Product" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "_CategoryToProduct_AB_unique" ON "_CategoryToProduct"("A", "B");
CREATE INDEX "_CategoryToProduct_B_index" ON "_CategoryToProduct"("B");
CREATE TABLE "Order" ("id" TEXT NOT NULL PRIMARY KEY, "status" TEXT NOT NULL DEFAULT 'OPEN', "userId" TEXT, "placedAt" DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT "Order_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User" ("id") ON DELETE SET NULL ON UPDATE CASCADE);
CREATE INDEX "Order_userId_placedAt_idx" ON "Order"("userId", "placedAt" DESC);
CREATE TABLE "OrderItem" ("orderId" TEXT NOT NULL, "line" INTEGER NOT NULL, "productId" INTEGER NOT NULL, "quantity" INTEGER NOT NULL DEFAULT 1, PRIMARY KEY ("orderId", "line"), CONSTRAINT "OrderItem_orderId_fkey" FOREIGN KEY ("orderId") REFERENCES "Order" ("id") ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT "OrderItem_productId_fkey" FOREIGN KEY ("productId") REFERENCES "Product" ("id") ON DELETE RESTRICT ON UPDATE CASCADE);
CREATE TABLE "Shipment" ("id" INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "orderId" TEXT NOT NULL, "line" INTEGER NOT NULL, "sentAt" DATETIME, CONSTRAINT "Shipment_orderId_line_fkey" FOREIGN KEY ("orderId", "line") REFERENCES "OrderItem" ("orderId", "line") ON DELETE RESTRICT ON UPDATE CASCADE);
CREATE TABLE "_UserFollows" ("A" TEXT NOT NULL, "B" TEXT NOT NULL, CONSTRAINT "_UserFollows_A_fkey" FOREIGN KEY ("A") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE, CONSTRAINT "_UserFollows_B_fkey" FOREIGN KEY ("B") REFERENCES "User" ("id") ON DELETE CASCADE ON UPDATE CASCADE);
CREATE UNIQUE INDEX "_UserFollows_AB_unique" ON "_UserFollows"("A", "B");
CREATE TABLE "VerificationToken" ("identifier" TEXT NOT NULL, "token" TEXT NOT NULL, "expires" DATETIME NOT NULL);
CREATE UNIQUE INDEX "VerificationToken_token_key" ON "VerificationToken"("token");
INSERT INTO "_prisma_migrations" VALUES ('a0000000-0000-4000-8000-000000000001', 'x', 1767322985123, '20260101_init', NULL, NULL, 1767322985000, 1), ('a0000000-0000-4000-8000-000000000002', 'y', NULL, '20260102_more', 'failed', 1767322985123, 1767322985001, 0);
INSERT INTO "User" VALUES ('cku1', 'ann@example.org', 'Ann', 'ADMIN', 9007199254740993, 1767322985123, 1767322985123), ('cku2', 'bob@example.org', NULL, 'USER', 0, 1767322985124, 1767322985000), ('cku3', 'c@example.org', '', 'USER', -1, 1767322986000, 1767322986000);
INSERT INTO "Product" VALUES (1, 'tea', 3.5, 0.25, 1, x'00ff', '{"leaf": true}', 1767322985123, 1767322985123), (2, 'cup', 12, NULL, 0, NULL, NULL, NULL, 1767322985124), (3, 'pot', 0.1, 1.5, 1, NULL, '[1,2]', 1767322985123, 1767322985125);
INSERT INTO "Order" VALUES ('cko1', 'OPEN', 'cku1', 1767322985123), ('cko2', 'SENT', NULL, 1767322985123), ('cko3', 'OPEN', 'cku2', 1767322985999);
INSERT INTO "VerificationToken" VALUES ('ann', 't1', 1767322985123), ('bob', 't2', 1767322985124);
"""

POSTGRES = """
CREATE TYPE "Role" AS ENUM ('USER', 'ADMIN');
CREATE TYPE "OrderStatus" AS ENUM ('OPEN', 'SENT', 'GONE');
CREATE TABLE "_prisma_migrations" (id character varying(36) NOT NULL PRIMARY KEY, checksum character varying(64) NOT NULL, finished_at timestamp with time zone, migration_name character varying(255) NOT NULL, logs text, rolled_back_at timestamp with time zone, started_at timestamp with time zone DEFAULT now() NOT NULL, applied_steps_count integer DEFAULT 0 NOT NULL);
CREATE TABLE "User" ("id" TEXT NOT NULL, "email" TEXT NOT NULL, "name" TEXT, "role" "Role" NOT NULL DEFAULT 'USER', "credits" BIGINT NOT NULL DEFAULT 0, "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, "updatedAt" TIMESTAMP(3) NOT NULL, CONSTRAINT "User_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "User_email_key" ON "User"("email");
CREATE TABLE "Profile" ("id" SERIAL NOT NULL, "bio" TEXT, "userId" TEXT NOT NULL, CONSTRAINT "Profile_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "Profile_userId_key" ON "Profile"("userId");
CREATE TABLE "Account" ("provider" TEXT NOT NULL, "providerAccountId" TEXT NOT NULL, "userId" TEXT NOT NULL, "expires_at" INTEGER, CONSTRAINT "Account_pkey" PRIMARY KEY ("provider","providerAccountId"));
CREATE TABLE "Category" ("id" SERIAL NOT NULL, "name" TEXT NOT NULL, "parentId" INTEGER, CONSTRAINT "Category_pkey" PRIMARY KEY ("id"));
CREATE TABLE "Product" ("id" SERIAL NOT NULL, "sku" TEXT NOT NULL, "price" DECIMAL(65,30) NOT NULL, "weight" DOUBLE PRECISION, "active" BOOLEAN NOT NULL DEFAULT true, "image" BYTEA, "attributes" JSONB, "labels" TEXT[], "releasedAt" TIMESTAMP(3), "updatedAt" TIMESTAMP(3) NOT NULL, CONSTRAINT "Product_pkey" PRIMARY KEY ("id"));
CREATE UNIQUE INDEX "Product_sku_key" ON "Product"("sku");
CREATE TABLE "_CategoryToProduct" ("A" INTEGER NOT NULL, "B" INTEGER NOT NULL, CONSTRAINT "_CategoryToProduct_AB_pkey" PRIMARY KEY ("A","B"));
CREATE INDEX "_CategoryToProduct_B_index" ON "_CategoryToProduct"("B");
CREATE TABLE "Order" ("id" TEXT NOT NULL, "status" "OrderStatus" NOT NULL DEFAULT 'OPEN', "userId" TEXT, "placedAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP, CONSTRAINT "Order_pkey" PRIMARY KEY ("id"));
CREATE INDEX "Order_userId_placedAt_idx" ON "Order"("userId", "placedAt" DESC);
CREATE TABLE "OrderItem" ("orderId" TEXT NOT NULL, "line" INTEGER NOT NULL, "productId" INTEGER NOT NULL, "quantity" INTEGER NOT NULL DEFAULT 1, CONSTRAINT "OrderItem_pkey" PRIMARY KEY ("orderId","line"));
CREATE TABLE "Shipment" ("id" SERIAL NOT NULL, "orderId" TEXT NOT NULL, "line" INTEGER NOT NULL, "sentAt" TIMESTAMP(3), CONSTRAINT "Shipment_pkey" PRIMARY KEY ("id"));
CREATE TABLE "_UserFollows" ("A" TEXT NOT NULL, "B" TEXT NOT NULL);
CREATE UNIQUE INDEX "_UserFollows_AB_unique" ON "_UserFollows"("A", "B");
CREATE TABLE "VerificationToken" ("identifier" TEXT NOT NULL, "token" TEXT NOT NULL, "expires" TIMESTAMP(3) NOT NULL);
CREATE UNIQUE INDEX "VerificationToken_token_key" ON "VerificationToken"("token");
ALTER TABLE "Profile" ADD CONSTRAINT "Profile_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Account" ADD CONSTRAINT "Account_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Category" ADD CONSTRAINT "Category_parentId_fkey" FOREIGN KEY ("parentId") REFERENCES "Category"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "_CategoryToProduct" ADD CONSTRAINT "_CategoryToProduct_A_fkey" FOREIGN KEY ("A") REFERENCES "Category"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_CategoryToProduct" ADD CONSTRAINT "_CategoryToProduct_B_fkey" FOREIGN KEY ("B") REFERENCES "Product"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "Order" ADD CONSTRAINT "Order_userId_fkey" FOREIGN KEY ("userId") REFERENCES "User"("id") ON DELETE SET NULL ON UPDATE CASCADE;
ALTER TABLE "OrderItem" ADD CONSTRAINT "OrderItem_orderId_fkey" FOREIGN KEY ("orderId") REFERENCES "Order"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "OrderItem" ADD CONSTRAINT "OrderItem_productId_fkey" FOREIGN KEY ("productId") REFERENCES "Product"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "Shipment" ADD CONSTRAINT "Shipment_orderId_line_fkey" FOREIGN KEY ("orderId", "line") REFERENCES "OrderItem"("orderId", "line") ON DELETE RESTRICT ON UPDATE CASCADE;
ALTER TABLE "_UserFollows" ADD CONSTRAINT "_UserFollows_A_fkey" FOREIGN KEY ("A") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
ALTER TABLE "_UserFollows" ADD CONSTRAINT "_UserFollows_B_fkey" FOREIGN KEY ("B") REFERENCES "User"("id") ON DELETE CASCADE ON UPDATE CASCADE;
INSERT INTO "_prisma_migrations" VALUES ('a0000000-0000-4000-8000-000000000001', 'x', '2026-01-02 03:04:05.123+00', '20260101_init', NULL, NULL, '2026-01-02 03:04:05+00', 1), ('a0000000-0000-4000-8000-000000000002', 'y', NULL, '20260102_more', 'failed', '2026-01-02 03:04:05.123+00', '2026-01-02 03:04:05.001+00', 0);
INSERT INTO "User" VALUES ('cku1', 'ann@example.org', 'Ann', 'ADMIN', 9007199254740993, '2026-01-02 03:04:05.123', '2026-01-02 03:04:05.123'), ('cku2', 'bob@example.org', NULL, 'USER', 0, '2026-01-02 03:04:05.124', '2026-01-02 03:04:05'), ('cku3', 'c@example.org', '', 'USER', -1, '2026-01-02 03:04:06', '2026-01-02 03:04:06');
INSERT INTO "Product" VALUES (1, 'tea', 3.5, 0.25, true, '\\x00ff', '{"leaf": true}', '{a,b}', '2026-01-02 03:04:05.123', '2026-01-02 03:04:05.123'), (2, 'cup', 12.000000000000000000000000000001, NULL, false, NULL, NULL, NULL, NULL, '2026-01-02 03:04:05.124'), (3, 'pot', 0.1, 1.5, true, NULL, '[1,2]', '{}', '2026-01-02 03:04:05.123', '2026-01-02 03:04:05.125');
SELECT setval('"Product_id_seq"', 3);
INSERT INTO "Order" VALUES ('cko1', 'OPEN', 'cku1', '2026-01-02 03:04:05.123'), ('cko2', 'SENT', NULL, '2026-01-02 03:04:05.123'), ('cko3', 'OPEN', 'cku2', '2026-01-02 03:04:05.999');
INSERT INTO "VerificationToken" VALUES ('ann', 't1', '2026-01-02 03:04:05.123'), ('bob', 't2', '2026-01-02 03:04:05.124');
"""

BOTH = """
INSERT INTO "Profile" ("bio", "userId") VALUES ('bio', 'cku1'), (NULL, 'cku2');
INSERT INTO "Account" VALUES ('git', '1', 'cku1', 1767322985), ('git', '2/x', 'cku2', NULL), ('mail', '1', 'cku1', 0);
INSERT INTO "Category" ("name", "parentId") VALUES ('all', NULL), ('drinks', 1), ('things', 1);
INSERT INTO "_CategoryToProduct" VALUES (1, 1), (2, 1), (3, 2);
INSERT INTO "OrderItem" VALUES ('cko1', 1, 1, 2), ('cko1', 2, 2, 1), ('cko2', 1, 1, 1);
INSERT INTO "Shipment" ("orderId", "line", "sentAt") VALUES ('cko1', 1, NULL), ('cko1', 2, NULL);
INSERT INTO "_UserFollows" VALUES ('cku1', 'cku2'), ('cku2', 'cku1'), ('cku3', 'cku1');
"""
SQLITE += BOTH
POSTGRES += BOTH

NEW = {
    "_prisma_migrations": {"id": "a0000000-0000-4000-8000-000000000003", "checksum": "z", "migration_name": "m"},
    "User": {"id": "cku4", "email": "dora@example.org"},
    "Profile": {"userId": "cku3"},
    "Account": {"provider": "git", "providerAccountId": "a b/ü", "userId": "cku3"},
    "Category": {"name": "new", "parentId": 3},
    "Product": {"sku": "new", "price": "1.5", "image": "AAE=", "attributes": {"$json": None}},
    "_CategoryToProduct": {"A": 3, "B": 3},
    "Order": {"id": "cko4", "userId": "cku3"},
    "OrderItem": {"orderId": "cko3", "line": 1, "productId": 3},
    "Shipment": {"orderId": "cko2", "line": 1, "sentAt": "2026-05-05T05:05:05.5"},
    "_UserFollows": {"A": "cku3", "B": "cku2"},
    "VerificationToken": {"identifier": "c", "token": "t3", "expires": "2026-05-05T05:05:05.25"},
}
