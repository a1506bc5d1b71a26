# One image for workers, launches and the MLflow server. It holds the pinned versions of constraints.txt and runs as an
# ordinary user. `--build-arg TORCH_INDEX=URL` looks for torch on another index as well (builds for your hardware).
FROM python:3.11.13-slim-bookworm AS build
WORKDIR /source
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.11.13-slim-bookworm
ARG TORCH_INDEX=
COPY constraints.txt /tmp/constraints.txt
COPY --from=build /wheels /tmp/wheels
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} torch \
    && wheel=$(ls /tmp/wheels/schedsearch-*.whl) \
    && pip install --no-cache-dir --constraint /tmp/constraints.txt "${wheel}[postgresql,mysql]" \
    && rm -rf /tmp/wheels /tmp/constraints.txt \
    && useradd --uid 10001 --create-home schedsearch \
    && install -d -o schedsearch -g schedsearch /results /artifacts /checkpoints
ENV PYTHONUNBUFFERED=1 MLFLOW_DISABLE_TELEMETRY=true MPLCONFIGDIR=/tmp
USER 10001:10001
WORKDIR /results
ENTRYPOINT ["schedsearch"]
CMD ["--help"]
