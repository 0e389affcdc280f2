// A trace in columns, and what the views derive from them once: subtree ends, visible rows, hits.

export class Trace {
  constructor(found) {
    Object.assign(this, found);
    const count = this.count;
    // The row behind the last one below each: rows are in tree order.
    this.ends = new Int32Array(count);
    this.ends.fill(count);
    const open = [];
    for (let row = 0; row < count; row++) {
      while (open.length && this.depths[open.at(-1)] >= this.depths[row]) this.ends[open.pop()] = row;
      open.push(row);
    }
    this.failed = new Set(this.errors);
    this.rowOf = new Map();
    for (let row = count - 1; row >= 0; row--) this.rowOf.set(this.ids[row], row);
    this.until = 0;
    this.from = 0;
    for (let row = 0; row < count; row++) {
      this.until = Math.max(this.until, this.starts[row] + this.durations[row]);
      this.from = Math.min(this.from, this.starts[row]);
    }
    this.until = Math.max(this.until, this.from + 1);
    // Errors below a closed row show on it.
    this.below = new Int32Array(count);
    for (const row of this.errors) for (let up = this.parents[row]; up >= 0; up = this.parents[up]) this.below[up]++;
    this.onPath = Object.keys(this.paths).map(Number).sort((one, other) => this.paths[one][0][0] - this.paths[other][0][0]);
  }

  name(row) {
    return this.texts[this.names[row]];
  }

  service(row) {
    return this.texts[this.services_of[row]];
  }

  kind(row) {
    return this.texts[this.kinds[row]];
  }

  says(row) {
    return this.texts[this.says_of?.[row] ?? this.says[row]];
  }

  status(row) {
    return this.texts[this.statuses[row]];
  }

  hasChildren(row) {
    return this.ends[row] > row + 1;
  }

  // The rows to show, in order: without what is below a closed one.
  visible(closed) {
    const rows = new Int32Array(this.count);
    let count = 0;
    for (let row = 0; row < this.count; ) {
      rows[count++] = row;
      row = closed.has(row) ? this.ends[row] : row + 1;
    }
    return rows.subarray(0, count);
  }

  // Every row at or below a level that has something below it.
  closedAt(level) {
    const closed = new Set();
    for (let row = 0; row < this.count; row++) if (this.depths[row] >= level && this.hasChildren(row)) closed.add(row);
    return closed;
  }

  deepest() {
    let most = 0;
    for (const depth of this.depths) if (depth > most) most = depth;
    return most;
  }

  // Rows whose name, service or statement holds all of the words.
  hits(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    if (!words.length) return [];
    const known = this.texts.map((one) => one.toLowerCase());
    const found = [];
    for (let row = 0; row < this.count; row++) {
      const all = `${known[this.names[row]]}\n${known[this.services_of[row]]}\n${known[this.says[row]]}\n${this.ids[row]}`;
      if (words.every((word) => all.includes(word))) found.push(row);
    }
    return found;
  }
}
