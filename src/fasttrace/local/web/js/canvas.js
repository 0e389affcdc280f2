// What is drawn on a canvas is drawn again when its box or the colours change.
import { useEffect } from "./lib.js";

// `paint` is given whether it is dark; `box` is what it fills, drawn anew when one of `reasons` is another.
export function usePaint(box, paint, reasons) {
  useEffect(() => {
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const again = () => box.current && paint(scheme.matches);
    again();
    const watch = new ResizeObserver(again);
    watch.observe(box.current);
    scheme.addEventListener("change", again);
    return () => {
      watch.disconnect();
      scheme.removeEventListener("change", again);
    };
  }, reasons);
}
