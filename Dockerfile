# One image for every part of the service that is ours: api, worker, migrate, mlflow and the nodes of Ray.
#
#   docker-compose build
#   docker-compose build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu130     # for GPUs
FROM python:3.11-slim-bookworm

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH

# torch first and by itself: the largest wheel. An index of its own says for which device; empty leaves it to pip's settings.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends tini >/dev/null && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin losssearch \
 && mkdir -p /data /artifacts && chown losssearch:losssearch /data /artifacts && chmod 750 /data /artifacts \
 && python -m venv /opt/venv \
 && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} torch==2.13.0

# What the product needs, without the product: a change of its code does not install anything again.
ARG EXTRAS=service,fairness,lightgbm,xgboost,private
COPY pyproject.toml constraints.txt deploy/requirements.py /opt/losssearch/
RUN cd /opt/losssearch && python requirements.py "$EXTRAS" >/tmp/requirements.txt \
 && pip install --no-cache-dir -c constraints.txt -r /tmp/requirements.txt && rm /tmp/requirements.txt

# In place, since `services`, the search spaces and `deploy` belong to the repository and not to the wheel.
COPY . /opt/losssearch
RUN pip install --no-cache-dir --no-deps -e /opt/losssearch && python -m compileall -q /opt/losssearch \
 && ln -s /opt/venv/bin/ray /opt/venv/bin/losssearch /usr/local/sbin/
# There, too: KubeRay starts nodes with a login shell, which has a PATH of its own.

# What writes, writes to /data, /artifacts or /tmp; the rest may be read-only.
ENV HOME=/tmp MPLCONFIGDIR=/tmp/matplotlib RAY_USAGE_STATS_ENABLED=0 DO_NOT_TRACK=true
USER 10001:10001
WORKDIR /data
# Reaps what the processes of studies and of Ray leave behind.
ENTRYPOINT ["tini", "--"]
CMD ["losssearch", "--help"]
