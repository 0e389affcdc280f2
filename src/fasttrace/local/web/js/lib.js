// Preact, htm and signals under one roof. No markup is ever made from text: attributes and names stay text nodes.
import { h, render, Fragment } from "preact";
import htm from "htm";

export { h, render, Fragment };
export { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "preact/hooks";
export { signal, computed, effect, batch, useSignal, useComputed, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);
