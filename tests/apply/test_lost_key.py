from sync_pipelines.apply.act import apply
from sync_pipelines.apply.parse import parse_manifest
from sync_pipelines.catalog.secrets import SecretBox, new_key
from sync_pipelines.catalog.store import Catalog
from sync_pipelines.catalog.syncs import find_sync
from tests.world import START, make_catalog

MANIFEST = """
tenant: acme
connections:
  shop: {connector: database, config: {url: "postgresql://u:one@h/db"}}
syncs:
  orders: {source: shop, destination: shop, streams: [public.orders]}
"""


def test_applying_a_file_again_restores_secrets_whose_key_is_lost(catalog_url):
    """R131."""
    catalog = make_catalog(catalog_url)
    parsed = parse_manifest(MANIFEST, file="acme.yaml", environment={})
    apply(catalog, parsed, now=START, actor="test")
    after_the_loss = Catalog(engine=catalog.engine, secrets=SecretBox((new_key(),)))

    apply(after_the_loss, parsed, now=START, actor="test")

    with after_the_loss.begin() as db:
        sync = find_sync(db, after_the_loss.secrets, "acme/orders")
    catalog.close()
    assert sync.source.config["url"] == "postgresql://u:one@h/db"
