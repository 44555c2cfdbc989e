# One image with roles: `up` (everything in one process), `api`, `relay`, `validator`, `migrate`.
#   docker build -t invoice-platform .
#   docker run --rm -p 127.0.0.1:8080:8080 -e HTTP_ADDRESS=0.0.0.0:8080 -e AUTH=off invoice-platform

FROM node:24.21.0-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
COPY packages/core/package.json packages/core/
COPY packages/testing/package.json packages/testing/
COPY packages/adapters/package.json packages/adapters/
COPY packages/runtime-node/package.json packages/runtime-node/
COPY examples/package.json examples/
COPY bench/package.json bench/
RUN npm ci
COPY tsconfig.base.json tsconfig.json ./
COPY packages packages
RUN npm run build
# what the programs need, and nothing of what built them
RUN npm ci --omit=dev --workspace packages/runtime-node --include-workspace-root=false

FROM node:24.21.0-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/packages/core/package.json packages/core/
COPY --from=build /app/packages/core/dist packages/core/dist
COPY --from=build /app/packages/adapters/package.json packages/adapters/
COPY --from=build /app/packages/adapters/dist packages/adapters/dist
COPY --from=build /app/packages/runtime-node/package.json packages/runtime-node/
COPY --from=build /app/packages/runtime-node/dist packages/runtime-node/dist
# where `up` keeps its embedded Postgres, which refuses to run as root
RUN install --directory --owner=node --group=node .data
USER node
# REST; metrics and health of every program
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --start-interval=1s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PROMETHEUS_PORT || 9090}/healthz`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "--enable-source-maps", "packages/runtime-node/dist/bin/invoice.js"]
CMD ["up"]
