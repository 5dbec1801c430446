(() => {
  const search = document.getElementById("search");
  const boxes = [...document.querySelectorAll(".filter input[type=checkbox]")];
  const cases = [...document.querySelectorAll("#cases tbody")];
  const shown = document.getElementById("shown");
  const filter = () => {
    const word = search.value.trim().toLowerCase();
    const outcomes = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    for (const entry of cases) {
      entry.hidden = !outcomes.has(entry.dataset.outcome) || !entry.textContent.toLowerCase().includes(word);
    }
    shown.textContent = `${cases.filter((entry) => !entry.hidden).length} of ${cases.length}`;
  };
  search.form.addEventListener("input", filter);
  search.form.addEventListener("submit", (event) => event.preventDefault());
  filter();
})();
