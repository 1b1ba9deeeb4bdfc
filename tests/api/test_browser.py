"""The documentation in a real browser that reaches nothing but this service."""

from pathlib import Path

import pytest

from tests.api.conftest import Api
from tests.support.browser import PROGRAM, browsing
from tests.support.needs import need_programs

LIST_GPUS = '.opblock:has([data-path="/api/v1/gpus"])'
ANSWER = f"{LIST_GPUS} .live-responses-table"
TYPE_KEY = """(key => {
  const field = document.querySelector('.auth-container input');
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, key);
  field.dispatchEvent(new Event('input', {bubbles: true}));
})"""


@pytest.mark.parametrize("path", ["/docs", "/swagger/"])
async def test_a_person_tries_a_request_with_a_key(api: Api, tmp_path: Path, path: str) -> None:
    need_programs(PROGRAM)
    async with browsing(tmp_path / "profile") as page:
        await page.do("Page.navigate", url=api.url + path)
        operations = await page.until("document.querySelectorAll('.opblock').length")
        assert operations == 14
        await page.click(".btn.authorize")
        await page.until("!!document.querySelector('.auth-container input')")
        await page.run(f"{TYPE_KEY}('{api.keys['read']}')")
        await page.click(".auth-container .btn.authorize")
        await page.click(".auth-container .btn-done")
        await page.click(f"{LIST_GPUS} .opblock-summary-control")
        await page.click(f"{LIST_GPUS} .try-out__btn")
        await page.click(f"{LIST_GPUS} .execute")
        status = await page.until(
            f"document.querySelector('{ANSWER} tbody .response-col_status')?.innerText"
        )
        assert status.split()[0] == "200"
        await page.run(f"document.querySelector('{ANSWER}').scrollIntoView()")
        await page.picture(tmp_path / "docs.png")
        assert (tmp_path / "docs.png").stat().st_size > 20_000
        body = await page.run(f"document.querySelector('{ANSWER}').innerText")
        assert "GPU-03" in body
        outside = [url for url in page.requests if not url.startswith((api.url, "data:", "blob:"))]
        assert outside == []
        assert page.problems == []
