"""A page of a module's own server (fixture served) in a browser that the module shares."""
import pytest

from support import browser as chromium


@pytest.fixture(scope="module")
def _browser():
    with chromium.Browser() as browser:
        yield browser


@pytest.fixture
def page(served, _browser):
    """The docs page as it is when it is opened for the first time; its console says nothing meanwhile."""
    _browser.open(f"http://127.0.0.1:{served.port}/docs")
    _browser.run("sessionStorage.clear(); location.hash = ''; location.reload()")
    _browser.wait("return document.getElementById('main')?.dataset.section === 'connections'")
    yield _browser
    _browser.cdp("Emulation.setEmulatedMedia", features=[])
    _browser.cdp("Emulation.clearDeviceMetricsOverride")
    assert _browser.console() == []
