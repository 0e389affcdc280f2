// Data of a view: asked for again when its parameters or, while live, the store change; the newest question wins.
import { useEffect, useSignal } from "./lib.js";
import { get } from "./api.js";

const PAUSE_MS = 400;

export function useData(path, params = {}, stamp = 0) {
  const state = useSignal({ data: null, error: null, loading: true });
  const key = JSON.stringify([path, params]);
  const asked = useSignal({ key: "", at: 0 });
  useEffect(() => {
    if (!path) return undefined;
    const stop = new AbortController();
    const sameQuestion = asked.peek().key === key;
    const wait = sameQuestion ? Math.max(0, PAUSE_MS - (performance.now() - asked.peek().at)) : 0;
    if (!sameQuestion) state.value = { ...state.peek(), loading: true };
    const timer = setTimeout(async () => {
      asked.value = { key, at: performance.now() };
      try {
        state.value = { data: await get(path, params, stop.signal), error: null, loading: false };
      } catch (error) {
        if (error.name !== "AbortError") state.value = { data: error.status === 400 ? state.peek().data : null, error, loading: false };
      }
    }, wait);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [key, stamp]);
  return state.value;
}
