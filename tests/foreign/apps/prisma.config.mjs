import { defineConfig } from "prisma/config";

const url = process.env.DATABASE_URL;

// The schema engine reads columns of types "name" and "char", which the adapter does not know: it is told of ones that it does.
const named = (result) => {
  for (const field of result.fields ?? []) field.dataTypeID = { 18: 1042, 19: 25, 1002: 1014, 1003: 1009 }[field.dataTypeID] ?? field.dataTypeID;
  return result;
};

const adapter = async () => {
  if (url.startsWith("file:")) {
    const { PrismaLibSQL } = await import("@prisma/adapter-libsql");
    return new PrismaLibSQL({ url });
  }
  const { default: pg } = await import("pg");
  const { PrismaPg } = await import("@prisma/adapter-pg");
  const query = pg.Client.prototype.query;
  pg.Client.prototype.query = function (...args) {
    const done = args.at(-1);
    if (typeof done === "function") args[args.length - 1] = (error, result) => done(error, result && named(result));
    const made = query.apply(this, args);
    return made instanceof Promise ? made.then(named) : made;
  };
  return new PrismaPg({ connectionString: url, options: "-c timezone=UTC" });
};

export default defineConfig({ experimental: { adapter: true }, engine: "js", schema: "schema.prisma", adapter });
