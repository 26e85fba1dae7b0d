const { PrismaClient } = require("./client");
const url = process.env.DATABASE_URL, sqlite = url.startsWith("file:");
const adapter = sqlite ? new (require("@prisma/adapter-libsql").PrismaLibSQL)({ url }) : new (require("@prisma/adapter-pg").PrismaPg)({ connectionString: url, options: "-c timezone=UTC" });
// the adapter reads times as if their zone were UTC
const db = new PrismaClient({ adapter });

(async () => {
  if (process.argv[2] === "make") {
    const top = await db.shelf.create({ data: { label: "top" } });
    for (let n = 0; n < 4; n++)
      await db.book.create({ data: { id: `00000000-0000-0000-0000-00000000000${n + 1}`, title: `Book ${n}`, price: `${n + 1}.50`,
        printed: new Date(Date.UTC(2026, 0, 2, 3, 4, n, n % 2 ? 123 : 0)), day: new Date(Date.UTC(2026, 0, n + 1)), at: new Date(Date.UTC(1970, 0, 1, 1, 2, n)),
        meta: { n, deep: [null, 1.5] }, cover: Buffer.from([n, 255]), ...(sqlite ? {} : { tags: n ? ["a", "b c"] : [] }),
        shelf: n ? { connect: { id: top.id } } : undefined, words: { connectOrCreate: { where: { text: "w" }, create: { text: "w" } } } } });
  } else {
    const rows = await db.book.findMany({ orderBy: { id: "asc" }, include: { shelf: true, words: true } });
    console.log(JSON.stringify(rows.map((b) => [b.id, b.title, b.price.toFixed(2), b.printed.toISOString(), b.day.toISOString().slice(0, 10),
      b.at.toISOString().slice(11, 19), b.meta, b.good, b.cover && Buffer.from(b.cover).toString("hex"), b.state, b.tags ?? null,
      Math.abs(b.updatedAt - b.createdAt) < 600e3, b.shelf && b.shelf.label, b.words.map((w) => w.text)])));
  }
  await db.$disconnect();
})().catch((error) => { console.error(error); process.exit(1); });
