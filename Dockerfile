# One image for masters and workers. Build the binary first: make build.
FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends libsqlite3-0 zlib1g libstdc++6 libnftables1 containerd runc \
    containernetworking-plugins conntrack iproute2 && rm -rf /var/lib/apt/lists/*
COPY .build/release/tern /usr/local/bin/tern
ENTRYPOINT ["/usr/local/bin/tern"]
