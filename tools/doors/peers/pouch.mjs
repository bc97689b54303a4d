// Serves express-pouchdb over LevelDB: `pouch.mjs FOLDER`. Prints its address.
import express from "express";
import expressPouch from "express-pouchdb";
import PouchCore from "pouchdb-core";
import find from "pouchdb-find";
import leveldb from "pouchdb-adapter-leveldb";

const folder = process.argv[2];
process.chdir(folder);
const Pouch = PouchCore.plugin(leveldb)
  .plugin(find)
  .defaults({ adapter: "leveldb", prefix: `${folder}/` });
const app = express();
app.use(
  "/",
  expressPouch(Pouch, {
    inMemoryConfig: true,
    logPath: `${folder}/log.txt`,
    mode: "minimumForPouchDB",
    overrideMode: { include: ["routes/find"] },
  }),
);
const server = app.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
