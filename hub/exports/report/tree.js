// The tree of RFC 6962 over the records: from those that are here, and the hashes of those that are not, to its root.

const AT_ONCE = 256;
const LEAF = new Uint8Array([0]);
const NODE = new Uint8Array([1]);
const HASH_BYTES = 32;

/** Where a range is divided: its left part is the greatest power of 2 that is less than all of it. */
function middleOf(begin, end) {
  let width = 1;
  while (width * 2 < end - begin) width *= 2;
  return begin + width;
}

/** A tree of which some leaves are known, and the roots over all ranges without any of them. */
class PartialTree {
  constructor(size, hashes) {
    this.size = size;
    this.hashes = hashes;
    this.taken = 0;
    this.nodes = new Map();
    this.leaves = [];
    this.places = [];
    this.done = 0;
  }

  /** Compute the leaves of records: their bytes as they stand here; of one that was redacted, the hash it had. */
  async add(records, progress) {
    const own = records.filter((record) => record.index !== null && record.index < this.size);
    own.sort((one, other) => one.index - other.index);
    for (let at = 0; at < own.length; at += AT_ONCE) {
      const some = own.slice(at, at + AT_ONCE);
      const hashes = await Promise.all(
        some.map((record) => (record.isRedacted ? record.leaf : sha256(LEAF, record.text))),
      );
      some.forEach((record, place) => {
        if (this.places[this.places.length - 1] === record.index) throw new NotIt("a record is in this file twice");
        this.places.push(record.index);
        this.leaves.push(hashes[place]);
      });
      progress(at + some.length);
      await pause();
    }
  }

  async root() {
    const root = this.size ? await this.node(0, this.size, 0, this.places.length) : await sha256(new Uint8Array());
    if (this.taken !== this.hashes.length) throw new NotIt("there are hashes in this file that belong to no record");
    return root;
  }

  async node(begin, end, low, high) {
    let hash;
    if (low === high) hash = this.next();
    else if (end - begin === 1) hash = this.leaves[low];
    else {
      const middle = middleOf(begin, end);
      const between = this.firstFrom(middle, low, high);
      const left = await this.node(begin, middle, low, between);
      hash = await sha256(NODE, left, await this.node(middle, end, between, high));
      if (++this.done % 1024 === 0) await pause();
    }
    this.nodes.set(`${begin}-${end}`, hash);
    return hash;
  }

  next() {
    const hash = this.hashes.subarray(this.taken, this.taken + HASH_BYTES);
    if (hash.length !== HASH_BYTES) throw new NotIt("hashes of records that are not shown are missing in this file");
    this.taken += HASH_BYTES;
    return hash;
  }

  firstFrom(index, low, high) {
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.places[middle] < index) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The hashes beside the way of a leaf that is here, from it upwards. */
  inclusion(index) {
    const hashes = [];
    let begin = 0,
      end = this.size;
    while (end - begin > 1) {
      const middle = middleOf(begin, end);
      hashes.push(this.nodes.get(index < middle ? `${middle}-${end}` : `${begin}-${middle}`));
      if (index < middle) end = middle;
      else begin = middle;
    }
    return hashes.reverse();
  }

  /** The root when the log had so many records; null where not all of them are here. */
  async rootOf(size) {
    if (size > this.size || this.places.length < size || this.places[size - 1] !== size - 1) return null;
    const over = async (begin, end) => {
      const known = this.nodes.get(`${begin}-${end}`);
      if (known) return known;
      if (end - begin === 1) return this.leaves[begin];
      const middle = middleOf(begin, end);
      return sha256(NODE, await over(begin, middle), await over(middle, end));
    };
    return size ? over(0, size) : sha256(new Uint8Array());
  }
}

const PROOF = "c2sp.org/tlog-proof@v1";

/** The text of a C2SP tlog-proof for one record, which other tools check. */
function proofText(record, tree, note) {
  const rows = [
    PROOF,
    `extra ${base64Of(record.text)}`,
    `index ${record.index}`,
    ...tree.inclusion(record.index).map(base64Of),
  ];
  return `${rows.join("\n")}\n\n${note.content}`;
}

/** What a proof that a reader keeps says: which line, at which place, under which note. */
function proofOf(content) {
  const at = content.indexOf("\n\n");
  const rows = content.slice(0, at).split("\n");
  if (at < 0 || rows.shift() !== PROOF) throw new NotIt("It is no proof");
  const extra = rows[0]?.startsWith("extra ") ? decoded(rows.shift().slice(6), "Its record") : null;
  const index = /^index (0|[1-9]\d{0,15})$/.exec(rows.shift() ?? "");
  if (!index || rows.length > 63) throw new NotIt("It is no proof: it has no index");
  const hashes = rows.map((row) => decoded(row, "A hash of it"));
  return { extra, index: Number(index[1]), hashes, note: noteOf(content.slice(at + 2)) };
}

/** Whether a leaf is at its place in a tree with this root. */
async function isIncluded(leaf, index, size, root, hashes) {
  const sides = [];
  let begin = 0,
    end = size;
  if (index >= size) return false;
  while (end - begin > 1) {
    const middle = middleOf(begin, end);
    sides.push(index < middle);
    if (index < middle) end = middle;
    else begin = middle;
  }
  if (sides.length !== hashes.length) return false;
  let here = leaf;
  for (const [at, isLeft] of sides.reverse().entries())
    here = isLeft ? await sha256(NODE, here, hashes[at]) : await sha256(NODE, hashes[at], here);
  return isSame(here, root);
}
