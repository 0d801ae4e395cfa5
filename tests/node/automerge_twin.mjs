// Opens a document that Tarn saved with Automerge's own package: prints its values and conflicts as JSON, changes what is
// wanted, and saves it again.
//
// node automerge_twin.mjs NODE_MODULES FROM TO SECTION ATTRIBUTE WRITE

import { createRequire } from "node:module";
import { readFileSync, writeFileSync } from "node:fs";

const [modules, from, to, section, attribute, write] = process.argv.slice(2);
const Automerge = createRequire(`${modules}/`)("@automerge/automerge");

let document = Automerge.load(readFileSync(from));

// A scalar text is an object of a class of its own in JavaScript: there it is told from a text that grows letter by letter.
const plain = (value) => (Automerge.isImmutableString(value) ? value.val : value);

const values = {};
const conflicts = {};
for (const [name, map] of Object.entries(document)) {
  if (map === null || typeof map !== "object" || map instanceof Uint8Array) {
    values[name] = map;
    continue;
  }
  if (Automerge.isImmutableString(map)) {
    values[name] = plain(map);
    continue;
  }
  values[name] = {};
  for (const [key, value] of Object.entries(map)) {
    values[name][key] = plain(value);
    const all = Automerge.getConflicts(map, key);
    if (all) {
      conflicts[`${name}/${key}`] = Object.values(all).map(plain).sort();
    }
  }
}
console.log(JSON.stringify({ values, conflicts }));

document = Automerge.change(document, (draft) => {
  draft[section][attribute] = new Automerge.ImmutableString(write);
});
writeFileSync(to, Automerge.save(document));
