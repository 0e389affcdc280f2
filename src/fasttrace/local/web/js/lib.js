// Preact, htm and signals under one roof. No markup is ever made from text: attributes and names stay text nodes.
import { h, render, Component, Fragment } from "preact";
import htm from "htm";

export { h, render, Fragment };
export { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "preact/hooks";
export { signal, computed, effect, batch, useSignal, useComputed, useSignalEffect } from "@preact/signals";
export const html = htm.bind(h);

// A view that is drawn again only when one of its properties is another. It must use neither hooks nor signals.
export function memo(view) {
  return class extends Component {
    shouldComponentUpdate(next) {
      for (const name in next) if (next[name] !== this.props[name]) return true;
      return false;
    }
    render(props) {
      return view(props);
    }
  };
}

// When what has been drawn is on the screen: for what can wait for it.
export function afterPaint(action) {
  let timer;
  const frame = requestAnimationFrame(() => (timer = setTimeout(action)));
  return () => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
}
