const { drizzle } = require("drizzle-orm/node-postgres");
const { Client } = require("pg");
const { pgTable, pgEnum, serial, uuid, varchar, numeric, timestamp, date, time, jsonb, boolean, integer, index } = require("drizzle-orm/pg-core");
const { asc, sql } = require("drizzle-orm");
const { generateDrizzleJson, generateMigration } = require("drizzle-kit/api");

const state = pgEnum("state", ["idle", "busy"]);
const shelf = pgTable("shelf", { id: serial("id").primaryKey(), label: varchar("label", { length: 20 }).notNull().unique() });
const book = pgTable("book", {
  id: uuid("id").primaryKey().defaultRandom(), title: varchar("title", { length: 80 }).notNull(),
  price: numeric("price", { precision: 8, scale: 2 }).notNull(), printed: timestamp("printed", { withTimezone: true }).notNull(),
  day: date("day"), at: time("at"), meta: jsonb("meta"), good: boolean("good").notNull().default(true),
  tags: varchar("tags", { length: 20 }).array(), state: state("state").notNull().default("idle"),
  shelfId: integer("shelf_id").references(() => shelf.id, { onDelete: "set null" }),
}, (t) => [index("book_title_lower").on(sql`lower(${t.title})`), index("book_printed_desc").on(t.printed.desc())]);
const schema = { state, shelf, book };

(async () => {
  const [target, step] = process.argv.slice(2);
  const client = new Client({ connectionString: target });
  await client.connect();
  const db = drizzle(client, { schema });
  if (step === "make") {
    for (const text of await generateMigration(generateDrizzleJson({}), generateDrizzleJson(schema))) await client.query(text);
    const [top] = await db.insert(shelf).values({ label: "top" }).returning();
    for (let n = 0; n < 4; n++)
      await db.insert(book).values({ id: `00000000-0000-0000-0000-00000000000${n + 1}`, title: `Book ${n}`, price: `${n + 1}.50`,
        printed: new Date(Date.UTC(2026, 0, 2, 3, 4, n, n % 2 ? 123 : 0)), day: `2026-01-0${n + 1}`, at: `01:02:0${n}`,
        meta: { n, deep: [null, 1.5] }, tags: n ? ["a", "b c"] : null, shelfId: n ? top.id : null });
  } else {
    const rows = await db.select().from(book).orderBy(asc(book.id));
    console.log(JSON.stringify(rows.map((b) => [b.id, b.title, b.price, b.printed.toISOString(), b.day, b.at, b.meta, b.good, b.tags, b.state, b.shelfId])));
  }
  await client.end();
})().catch((error) => { console.error(error); process.exit(1); });
