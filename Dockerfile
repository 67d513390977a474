# One image for the projector and the API: `run` and `serve` are commands of the same program.
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build
WORKDIR /build
# Without pip: the environment is copied whole into the final image, which installs nothing any more.
RUN python -m venv --without-pip /opt/projector
# The dependencies first: they change seldom, and this layer with them. All are wheels, so that no compiler is needed.
COPY constraints.txt pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
      > requirements.txt \
 && python -m pip --python /opt/projector/bin/python install --no-cache-dir --only-binary :all: \
      -c constraints.txt -r requirements.txt
COPY README.md LICENSE ./
COPY events events
COPY projector projector
COPY api api
RUN python -m pip --python /opt/projector/bin/python install --no-cache-dir --no-deps .

FROM ${PYTHON}
RUN useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin projector
COPY --from=build /opt/projector /opt/projector
ENV PATH=/opt/projector/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# By number, so that an orchestrator can tell that it is not root.
USER 10001:10001
EXPOSE 9000 9001
ENTRYPOINT ["projector"]
