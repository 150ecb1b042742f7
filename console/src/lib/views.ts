import { useSyncExternalStore } from "react";

/** View is a page with its filters under a name. */
export interface View {
  name: string;
  /** path is the page and its query. */
  path: string;
}

/** most is how many views are kept for an owner. */
const most = 50;

const key = (owner: string) => `niyanta-views:${owner}`;
const changed = "niyanta-views";

/** parseViews reads what the browser has stored. What is no view is left out. */
export function parseViews(stored: string | null): View[] {
  try {
    const list: unknown = JSON.parse(stored ?? "[]");
    if (!Array.isArray(list)) return [];
    return list.filter((v: Partial<View> | null): v is View =>
      typeof v?.name === "string" && typeof v.path === "string" && /^\/(?![/\\])/.test(v.path)).slice(0, most);
  } catch {
    return [];
  }
}

/** samePath reports whether two paths are the same page with the same filters, in whatever order. */
export function samePath(a: string, b: string): boolean {
  const parts = (path: string) => {
    const [page = "", query = ""] = path.split("?");
    return [page, ...[...new URLSearchParams(query)].map(([k, v]) => `${k}=${v}`).sort()].join("\n");
  };
  return parts(a) === parts(b);
}

/** withView adds a view, or replaces the one with its name. */
export const withView = (views: View[], v: View): View[] =>
  [...views.filter((x) => x.name !== v.name), v].sort((a, b) => a.name.localeCompare(b.name)).slice(0, most);

const subscribe = (l: () => void) => {
  window.addEventListener("storage", l);
  window.addEventListener(changed, l);
  return () => {
    window.removeEventListener("storage", l);
    window.removeEventListener(changed, l);
  };
};

/**
 * useViews returns the views of an owner, a customer or the administrators, and what saves and removes
 * one. They are kept in the browser.
 */
export function useViews(owner: string) {
  const stored = useSyncExternalStore(subscribe, () => localStorage.getItem(key(owner)));
  const views = parseViews(stored);
  const write = (list: View[]) => {
    localStorage.setItem(key(owner), JSON.stringify(list));
    window.dispatchEvent(new Event(changed));
  };
  return {
    views,
    save: (v: View) => write(withView(views, v)),
    remove: (name: string) => write(views.filter((v) => v.name !== name)),
  };
}
