const { drizzle } = require("drizzle-orm/libsql");
const { createClient } = require("@libsql/client");
const { sqliteTable, integer, text, numeric, blob, real, index, uniqueIndex, primaryKey } = require("drizzle-orm/sqlite-core");
const { asc, sql, eq } = require("drizzle-orm");
const { generateSQLiteDrizzleJson, generateSQLiteMigration } = require("drizzle-kit/api");

const shelf = sqliteTable("shelf", { id: integer("id").primaryKey({ autoIncrement: true }), label: text("label", { length: 20 }).notNull().unique() });
const book = sqliteTable("book", {
  id: text("id").primaryKey(), title: text("title", { length: 80 }).notNull(), price: numeric("price").notNull(),
  printed: integer("printed", { mode: "timestamp_ms" }).notNull(), day: text("day"), at: text("at"), meta: text("meta", { mode: "json" }),
  good: integer("good", { mode: "boolean" }).notNull().default(true), cover: blob("cover", { mode: "buffer" }),
  state: text("state", { enum: ["idle", "busy"] }).notNull().default("idle"), made: text("made").notNull().default(sql`(CURRENT_TIMESTAMP)`),
  weight: real("weight"), shelfId: integer("shelf_id").references(() => shelf.id, { onDelete: "set null" }),
}, (t) => [index("book_title_lower").on(sql`lower(${t.title})`), index("book_printed").on(t.printed)]);
const tag = sqliteTable("book_tag", { bookId: text("book_id").notNull().references(() => book.id, { onDelete: "cascade" }), word: text("word").notNull() },
  (t) => [primaryKey({ columns: [t.bookId, t.word] }), uniqueIndex("book_tag_word").on(t.word, t.bookId)]);
const schema = { shelf, book, tag };

(async () => {
  const [target, step] = process.argv.slice(2);
  const client = createClient({ url: `file:${target}` });
  const db = drizzle(client, { schema });
  if (step === "make") {
    for (const text of await generateSQLiteMigration(await generateSQLiteDrizzleJson({}), await generateSQLiteDrizzleJson(schema))) await client.executeMultiple(text);
    const [top] = await db.insert(shelf).values({ label: "top" }).returning();
    for (let n = 0; n < 4; n++) {
      await db.insert(book).values({ id: `00000000-0000-0000-0000-00000000000${n + 1}`, title: `Book ${n}`, price: `${n + 1}.5`,
        printed: new Date(Date.UTC(2026, 0, 2, 3, 4, n, n % 2 ? 123 : 0)), day: `2026-01-0${n + 1}`, at: `01:02:0${n}`,
        meta: { n, deep: [null, 1.5] }, cover: Buffer.from([n, 255]), weight: n + 0.25, shelfId: n ? top.id : null });
      await db.insert(tag).values({ bookId: `00000000-0000-0000-0000-00000000000${n + 1}`, word: `w${n}` });
    }
  } else {
    const rows = await db.select().from(book).leftJoin(shelf, eq(book.shelfId, shelf.id)).orderBy(asc(book.id));
    console.log(JSON.stringify(rows.map(({ book: b, shelf: s }) => [b.id, b.title, String(b.price), b.printed.toISOString(), b.day, b.at, b.meta, b.good,
      b.cover && Buffer.from(b.cover).toString("hex"), b.state, b.weight, s && s.label])));
  }
  client.close();
})().catch((error) => { console.error(error); process.exit(1); });
