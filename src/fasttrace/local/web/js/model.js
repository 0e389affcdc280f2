import { clean } from "./format.js";

// A trace in columns, and what the views derive from them once: subtree ends, visible rows, hits.

const MIN_FOLD = 3;

export class Trace {
  constructor(found) {
    Object.assign(this, found);
    this.texts = found.texts.map(clean);
    this.name = clean(found.name);
    this.services = found.services.map(clean);
    const count = this.count;
    // The row behind the last one below each: rows are in tree order.
    this.ends = new Int32Array(count);
    this.ends.fill(count);
    const open = [];
    for (let row = 0; row < count; row++) {
      while (open.length && this.depths[open.at(-1)] >= this.depths[row]) this.ends[open.pop()] = row;
      open.push(row);
    }
    this.failed = new Set(this.failed_rows);
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
    for (let row = count - 1; row > 0; row--) if (this.parents[row] >= 0) this.below[this.parents[row]] += this.below[row] + this.failed.has(row);
    this.readFolds();
    this.onPath = Object.keys(this.paths).map(Number).sort((one, other) => this.paths[one][0][0] - this.paths[other][0][0]);
  }

  // Like siblings that the layout folds: shown as their first until opened. Below a folded row they may have several parents.
  readFolds() {
    this.fold = new Map();
    this.foldOf = new Map();
    for (const fold of this.folds ?? []) {
      const byParent = new Map();
      for (const row of fold.spans) {
        const parent = this.parents[row];
        if (!byParent.has(parent)) byParent.set(parent, []);
        byParent.get(parent).push(row);
      }
      for (const rows of byParent.values()) {
        if (rows.length < MIN_FOLD) continue;
        this.fold.set(rows[0], rows);
        for (const row of rows) this.foldOf.set(row, rows[0]);
      }
    }
  }

  // Its own place, or that of the fold that it stands for.
  members(row, opened) {
    const rows = this.fold.get(row);
    return rows && !opened.has(row) ? rows : null;
  }

  nameOf(row) {
    return this.texts[this.names[row]];
  }

  serviceOf(row) {
    return this.texts[this.services_of[row]];
  }

  kindOf(row) {
    return this.texts[this.kinds[row]];
  }

  saysOf(row) {
    return this.texts[this.saying[row]];
  }

  statusOf(row) {
    return this.texts[this.statuses[row]];
  }

  hasChildren(row) {
    return this.ends[row] > row + 1;
  }

  // The rows to show, in order: without what is below a closed one.
  visible(closed, opened) {
    const rows = new Int32Array(this.count);
    let count = 0;
    for (let row = 0; row < this.count; ) {
      const first = this.foldOf.get(row);
      if (first !== undefined && first !== row && !opened.has(first)) {
        row = this.ends[row];
        continue;
      }
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
      const all = `${known[this.names[row]]}\n${known[this.services_of[row]]}\n${known[this.saying[row]]}\n${this.ids[row]}`;
      if (words.every((word) => all.includes(word))) found.push(row);
    }
    return found;
  }
}
