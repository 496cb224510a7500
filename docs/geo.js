// The libraries of the console's map; bundled as one file, of which a third of all their code is left:
//   npm install d3-geo@3 d3-selection@3 d3-zoom@3 topojson-client@3 supercluster@9 esbuild
//   npx esbuild docs/geo.js --bundle --minify --format=esm --target=es2022 --outfile=src/brewhouse/console/static/geo.min.js
// Their licences are in geo.LICENSE, next to the bundle.
export { geoPath, geoTransform } from "d3-geo";
export { select } from "d3-selection";
export { default as Supercluster } from "supercluster";
export { feature, merge, mesh } from "topojson-client";
export { zoom, zoomIdentity, zoomTransform } from "d3-zoom";
