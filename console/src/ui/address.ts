import { useSearchParams } from "react-router";

/** Change changes a query in place, or returns another one. */
type Change = (q: URLSearchParams) => URLSearchParams | void;

/**
 * useAddress returns the query of the address, and what changes it. A change begins with the address as it
 * is by then: while the browser is busy, the page shows an earlier one, and what was chosen in between
 * would be undone. With push, the way back leads to how it was.
 */
export function useAddress(): [URLSearchParams, (change: Change, push?: boolean) => void] {
  const [query, setQuery] = useSearchParams();
  const change = (of: Change, push = false) => {
    const now = new URLSearchParams(location.search);
    setQuery(of(now) ?? now, { replace: !push });
  };
  return [query, change];
}

/** put sets a parameter, or removes it if it has no value. */
export const put = (name: string, value?: string): Change => (q) => {
  if (value) q.set(name, value);
  else q.delete(name);
};
