import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

// licenses writes the licenses of the packages that are in the bundle beside it, as they demand.
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_, bundle) {
      const packages = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        for (const id of chunk.type === "chunk" ? Object.keys(chunk.modules) : []) {
          const found = /^(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id.replace(/^\0/, ""));
          if (found?.[1]) packages.add(found[1]);
        }
      }
      const texts = [...packages].filter((dir) => existsSync(join(dir, "package.json"))).map((dir) => {
        const { name, version, license } = JSON.parse(readFileSync(join(dir, "package.json"), "utf8"));
        const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
        return `${name} ${version} (${license})\n\n${file ? readFileSync(join(dir, file), "utf8").trim() : ""}\n`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: texts.sort().join("\n---\n\n") });
    },
  };
}

export default defineConfig({
  base: "/console/",
  plugins: [licenses()],
  esbuild: { jsx: "automatic", legalComments: "none" },
  build: {
    outDir: "../adapters/console/dist",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    rollupOptions: {
      output: {
        entryFileNames: "console.js",
        chunkFileNames: "[name].js",
        assetFileNames: (asset) => (asset.names[0]?.endsWith(".css") ? "console.css" : "[name][extname]"),
      },
    },
  },
  server: { proxy: { "/v1": "http://127.0.0.1:8080", "/ready": "http://127.0.0.1:8080" } },
});
