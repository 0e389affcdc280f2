"""The tables of an index. All of it follows from the segments, so that it may be deleted at any time.

A *shape* is what spans of one kind have in common: service, name, kind, outcome and those attributes whose keys have
few values; a program has some hundreds of them. Attributes with many values are ``posting`` rows. So a search
over a million spans is one over a few hundred shapes, and a walk along an index.
"""

from __future__ import annotations

# Part of the file's name: another version's index is another file.
VERSION = 3

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;

-- `offset`: read up to here, `scanned`: the file's size when nothing more was found in it.
CREATE TABLE segment (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, offset INTEGER NOT NULL,
                      scanned INTEGER NOT NULL, unreadable INTEGER NOT NULL);
CREATE TABLE frame (id INTEGER PRIMARY KEY, segment INTEGER NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL);

CREATE TABLE service (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL);
-- `spread`: too many values for shapes.
CREATE TABLE key (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, spread INTEGER NOT NULL);
CREATE TABLE pair (id INTEGER PRIMARY KEY, key INTEGER NOT NULL, value TEXT NOT NULL, number REAL);
CREATE UNIQUE INDEX pair_value ON pair (key, value);

CREATE TABLE resource (id INTEGER PRIMARY KEY, digest BLOB UNIQUE NOT NULL, service INTEGER NOT NULL);
CREATE TABLE resource_pair (pair INTEGER, resource INTEGER, PRIMARY KEY (pair, resource)) WITHOUT ROWID;

CREATE TABLE shape (id INTEGER PRIMARY KEY, digest BLOB UNIQUE NOT NULL, service INTEGER NOT NULL, name TEXT NOT NULL,
                    kind INTEGER NOT NULL, error INTEGER NOT NULL, status TEXT NOT NULL, route TEXT NOT NULL,
                    spans INTEGER NOT NULL);
CREATE INDEX shape_name ON shape (name);
CREATE TABLE shape_pair (pair INTEGER, shape INTEGER, PRIMARY KEY (pair, shape)) WITHOUT ROWID;

-- `twin` parts spans that share an id, made of times and parent, so that a span that comes again is the same one.
-- `flags`: 1 failed, 2 a server's or consumer's. Times in nanoseconds.
CREATE TABLE span (trace INTEGER, id INTEGER, twin INTEGER, start INTEGER NOT NULL, duration INTEGER NOT NULL,
                   parent INTEGER, frame INTEGER NOT NULL, shape INTEGER NOT NULL, resource INTEGER NOT NULL,
                   service INTEGER NOT NULL, flags INTEGER NOT NULL,
                   PRIMARY KEY (trace, id, twin)) WITHOUT ROWID;
CREATE INDEX span_shape ON span (shape);
-- By parts, so that what is read in at one time lies together whatever the values are.
CREATE TABLE posting (part INTEGER, key INTEGER, value TEXT, number REAL, trace INTEGER, span INTEGER, twin INTEGER,
                      PRIMARY KEY (part, key, value, trace, span, twin)) WITHOUT ROWID;
-- 4,096 traces, and when the first and the last of them began, at most.
CREATE TABLE part (id INTEGER PRIMARY KEY, first INTEGER NOT NULL, last INTEGER NOT NULL);

-- `shape` is the root's, `services` are ids in order of their first span.
CREATE TABLE trace (id INTEGER PRIMARY KEY, trace_id BLOB UNIQUE NOT NULL, start INTEGER NOT NULL,
                    duration INTEGER NOT NULL, longest INTEGER NOT NULL, shape INTEGER NOT NULL,
                    spans INTEGER NOT NULL, errors INTEGER NOT NULL, complete INTEGER NOT NULL, services TEXT NOT NULL);
CREATE INDEX trace_start ON trace (start);
CREATE INDEX trace_duration ON trace (duration);
-- Where a request enters a service, `caller` is the service that it comes from.
CREATE TABLE entry (trace INTEGER, number INTEGER, service INTEGER NOT NULL, caller INTEGER, shape INTEGER NOT NULL,
                    duration INTEGER NOT NULL, error INTEGER NOT NULL, own INTEGER NOT NULL,
                    PRIMARY KEY (trace, number)) WITHOUT ROWID;
"""

# A trace's number without so many bits is that of its part.
PART_BITS = 12
FAILED = 1
ENTERS = 2
