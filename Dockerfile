# ferrod: docker build -t ferrod .
# BASE must be a Debian 13 (or a system with its package names); both stages use it.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS build
COPY .ci/deps /src/.ci/deps
RUN apt-get update -q && apt-get install -y -q --no-install-recommends make && /src/.ci/deps run
COPY . /src
WORKDIR /src
RUN make -j"$(nproc)" install VARIANT=release DESTDIR=/out PREFIX=/usr && strip /out/usr/bin/ferrod

FROM ${BASE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ferrod" \
      org.opencontainers.image.description="The Ferro data layer over SQLite and PostgreSQL as an HTTP server" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# What is removed is of no use to the program; the package system stays, for scanners that ask it.
RUN apt-get update -q \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
      ca-certificates libjansson4 libmicrohttpd12t64 libpq5 libsqlite3-0 libzstd1 zlib1g \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /var/cache/debconf/* /var/log/apt /var/log/dpkg.log /usr/share/doc/* /usr/share/man/* /usr/share/locale/* \
 && groupadd --system --gid 10001 ferrod \
 && useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/ferrod --no-create-home --shell /usr/sbin/nologin ferrod \
 && install -d -o 10001 -g 10001 -m 750 /var/lib/ferrod
COPY --from=build /out/usr/bin/ferrod /usr/bin/ferrod
# Beyond loopback ferrod wants API keys: FERROD_ADMIN_KEY_FILE or FERROD_KEYS_FILE, or it does not start.
ENV FERROD_LISTEN=0.0.0.0:8080 \
    FERROD_DEFAULT_URL=sqlite:/var/lib/ferrod/ferrod.db?mode=rwc \
    FERROD_SQLITE_DIR=/var/lib/ferrod
USER 10001:10001
WORKDIR /var/lib/ferrod
VOLUME /var/lib/ferrod
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["ferrod", "healthcheck"]
ENTRYPOINT ["ferrod"]
