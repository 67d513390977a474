# One image for the projector and the API: `run` and `serve` are commands of the same program. docker-bake.hcl builds it
# for both platforms, with a bill of materials.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
# For `strip`, which takes symbols for debuggers away: 60 MB of them are in wheels.
RUN apt-get update && apt-get install --yes --no-install-recommends binutils && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# Also for what builds our own wheel, which pip installs apart: older versions take the first name for it, newer ones the
# second.
ENV PIP_CONSTRAINT=/build/constraints.txt \
    PIP_BUILD_CONSTRAINT=/build/constraints.txt \
    PIP_NO_CACHE_DIR=1
# Without pip: the environment is copied whole into the final image, which installs nothing any more.
RUN python -m venv --without-pip /opt/projector
# The dependencies first: they change seldom, and this layer with them. All are wheels, so that no compiler is needed.
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; project = tomllib.load(open('pyproject.toml', 'rb'))['project']; \
      print(*project['dependencies'], *project['optional-dependencies']['postgres'], sep='\n')" > requirements.txt \
 && python -m pip --python /opt/projector/bin/python install --only-binary :all: -r requirements.txt \
 && find /opt/projector -name '*.so' -not -path '*.libs/*' -exec strip --strip-unneeded {} +
COPY README.md LICENSE ./
COPY events events
COPY projector projector
COPY api api
RUN python -m pip --python /opt/projector/bin/python install --no-deps .

FROM ${PYTHON}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin projector
COPY --from=build /opt/projector /opt/projector
# The port is for the health check, and at 127.0.0.1 unless PROJECTOR_HOST says otherwise.
ENV PATH=/opt/projector/bin:$PATH \
    PROJECTOR_PORT=9001 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 9000 9001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
  CMD ["python", "-m", "order_group_projector.projector.health.probe"]
ENTRYPOINT ["projector"]
