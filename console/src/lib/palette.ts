/** Entry is something that the command palette leads to or does. */
export interface Entry {
  name: string;
  /** kind says what it is, beside its name. */
  kind: string;
  /** to is the path that it leads to. An entry without one does run. */
  to?: string;
  run?: () => void;
}

/** shownEntries is how many entries the palette shows at most. */
const shownEntries = 12;

/** idEntries are the pages of what a text is the id of, whether or not it exists. */
export function idEntries(text: string, admin: boolean): Entry[] {
  const t = text.trim();
  if (/^wl_[a-z0-9]{8,}$/.test(t)) return [{ name: t, kind: "workload", to: `/workloads/${t}` }];
  if (admin && /^cust_[a-z0-9_-]+$/i.test(t)) {
    return [
      { name: t, kind: "customer", to: `/customers/${t}` },
      { name: `Workloads of ${t}`, kind: "workloads", to: `/workloads?${new URLSearchParams({ customer: t })}` },
    ];
  }
  return [];
}

/** searchEntries are lists that a text filters. */
export function searchEntries(text: string): Entry[] {
  const t = text.trim();
  if (!t) return [];
  return /^[^=\s]+=[^=]*$/.test(t)
    ? [{ name: `Workloads with the label ${t}`, kind: "workloads", to: `/workloads?${new URLSearchParams({ label: t })}` }]
    : [{ name: `Workloads of the type ${t}`, kind: "workloads", to: `/workloads?${new URLSearchParams({ type: t })}` }];
}

/**
 * matching returns the entries that have all words of a text in their name or kind, those whose name
 * begins with it first.
 */
export function matching(entries: Entry[], text: string): Entry[] {
  const words = text.trim().toLowerCase().split(/\s+/).filter(Boolean);
  const rank = (e: Entry) => (words[0] && e.name.toLowerCase().startsWith(words[0]) ? 0 : 1);
  return entries.filter((e) => words.every((w) => `${e.name} ${e.kind}`.toLowerCase().includes(w)))
    .map((e, i) => ({ e, i })).sort((a, b) => rank(a.e) - rank(b.e) || a.i - b.i).map(({ e }) => e).slice(0, shownEntries);
}
