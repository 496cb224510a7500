# The console and the schedule: docker build -t brewhouse . && docker run -p 8040:8040 -v brewhouse:/data brewhouse
FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE ./
COPY requirements requirements
COPY src src
RUN python3 -m venv /opt/brewhouse
RUN /opt/brewhouse/bin/pip install --quiet --no-cache-dir --require-hashes -r requirements/runtime.lock
RUN /opt/brewhouse/bin/pip install --quiet --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.13-slim
COPY --from=build /opt/brewhouse /opt/brewhouse
RUN useradd --system --uid 1000 --home-dir /data brewhouse && mkdir -p /data && chown brewhouse /data
ENV PATH=/opt/brewhouse/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1
USER brewhouse
WORKDIR /data
VOLUME /data
EXPOSE 8040
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8040/healthz', timeout=4)"]
ENTRYPOINT ["brewhouse"]
CMD ["serve", "--host", "0.0.0.0", "--lake", "/data/lake"]
